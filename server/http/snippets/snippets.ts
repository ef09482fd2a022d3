import type { App } from '../../../db/store.ts'
import type { Snippet } from './snippet-app.ts'
import { curlSnippet } from './curl.ts'
import { fragmentSnippet, javascriptSnippet } from './javascript.ts'
import { pythonSnippet } from './python.ts'

/**
 * Sample code that connects an app's users and swaps their broker tokens: complete programs with this
 * broker's URLs. An app that gets its token in the fragment runs in the browser, so it has JavaScript only.
 * An app without a redirect URI has none, nor has one that requires DPoP, which takes a library (RFC 9449), or
 * one that goes through the proxy and swaps nothing, as apps with sessions do (docs/connect/session.md).
 */
export function createSnippets(app: App, brokerUrl: string): Snippet[] {
  const { id: clientId, confidential, tokens, redirectUris } = app
  const redirectUri = redirectUris[0] ?? ''
  const snippetApp = { brokerUrl, clientId, redirectUri, confidential, tokens }
  const needsOther = app.dpop === 'required' || app.access === 'proxy'
  if (redirectUris.length === 0 || needsOther) return []
  if (app.deliver === 'fragment')
    return [{ language: 'JavaScript', code: fragmentSnippet(snippetApp) }]
  return [
    { language: 'curl', code: curlSnippet(snippetApp) },
    { language: 'JavaScript', code: javascriptSnippet(snippetApp) },
    { language: 'Python', code: pythonSnippet(snippetApp) },
  ]
}
