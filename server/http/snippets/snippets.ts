import type { App } from '../../../db/store.ts'
import type { Snippet } from './app.ts'
import { curlSnippet } from './curl.ts'
import { fragmentSnippet } from './fragment.ts'
import { javascriptSnippet } from './javascript.ts'
import { pythonSnippet } from './python.ts'

/**
 * Code that connects an app's users and swaps for them, ready to paste: complete programs, with this
 * broker's addresses in them. An app that takes its token in the fragment has no back end: JavaScript
 * alone. One without a redirect URI, for devices without a browser, has none of
 * it, nor has one that has to prove a key: that takes a library (DPoP, RFC 9449).
 */
export function snippetsOf(app: App, brokerUrl: string): Snippet[] {
  const { id: clientId, confidential, tokens, redirectUris } = app
  const redirectUri = redirectUris[0] ?? ''
  const facts = { brokerUrl, clientId, redirectUri, confidential, tokens }
  if (redirectUris.length === 0 || app.dpop === 'required') return []
  if (app.deliver === 'fragment') return [{ language: 'JavaScript', code: fragmentSnippet(facts) }]
  return [
    { language: 'curl', code: curlSnippet(facts) },
    { language: 'JavaScript', code: javascriptSnippet(facts) },
    { language: 'Python', code: pythonSnippet(facts) },
  ]
}
