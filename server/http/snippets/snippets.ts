import type { App } from '../../../db/store.ts'
import type { Snippet } from './snippet-app.ts'
import { curlSnippet } from './curl.ts'
import { fragmentSnippet, javascriptSnippet, sdkSnippet } from './javascript.ts'
import { pythonSnippet } from './python.ts'

/**
 * Sample code that connects an app's users and swaps their broker tokens: complete programs with this
 * broker's URLs, for pages with the SDK first. An app that gets its token in the fragment runs in the browser, so
 * it has JavaScript only. An app without a redirect URI has none, nor has one with sessions
 * (docs/connect/session.md). An app that requires DPoP (RFC 9449), or goes through the proxy, has the SDK only.
 */
export function createSnippets(app: App, brokerUrl: string): Snippet[] {
  const { id: clientId, confidential, tokens, redirectUris } = app
  const redirectUri = redirectUris[0] ?? ''
  const snippetApp = { brokerUrl, clientId, redirectUri, confidential, tokens }
  if (redirectUris.length === 0 || app.session === 'cookie') return []
  if (app.deliver === 'fragment')
    return [{ language: 'JavaScript', code: fragmentSnippet(snippetApp) }]
  const isPage = !confidential && tokens === 'broker' && /^https?:/.test(redirectUri)
  const sdk = isPage ? [{ language: 'Browser SDK', code: sdkSnippet(snippetApp) }] : []
  if (app.dpop === 'required' || app.access === 'proxy') return sdk
  return [
    ...sdk,
    { language: 'curl', code: curlSnippet(snippetApp) },
    { language: 'JavaScript', code: javascriptSnippet(snippetApp) },
    { language: 'Python', code: pythonSnippet(snippetApp) },
  ]
}
