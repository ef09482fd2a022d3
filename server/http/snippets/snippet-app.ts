import type { App } from '../../../db/store.ts'

/** What the code for one app is made from. */
export interface SnippetApp {
  brokerUrl: string
  clientId: string
  redirectUri: string
  confidential: boolean
  tokens: App['tokens']
}

/** Code to paste into an app, in one language. */
export interface Snippet {
  language: string
  code: string
}

/** Parameters that name the grant, of each way to swap at the token endpoint. */
export const swapParameters = ({ tokens }: Pick<SnippetApp, 'tokens'>): Record<string, string> =>
  tokens === 'ellipsis'
    ? { grant_type: 'refresh_token' }
    : {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      }

/** The parameter that carries the broker token there. */
export const tokenParameter = ({ tokens }: Pick<SnippetApp, 'tokens'>): string =>
  tokens === 'ellipsis' ? 'refresh_token' : 'subject_token'

/** Does it swap at `/exchange`, in one line? */
export const usesExchange = ({ confidential, tokens }: SnippetApp): boolean =>
  !confidential && tokens === 'broker'

/** What the app keeps from redeeming: the name of the answer's field. */
export const keptField = ({ tokens }: Pick<SnippetApp, 'tokens'>): string =>
  tokens === 'ellipsis' ? 'refresh_token' : 'access_token'
