import type { App } from '../../../db/store.ts'

/** What a snippet needs to know of the app. */
export interface SnippetApp {
  brokerUrl: string
  clientId: string
  redirectUri: string
  confidential: boolean
  tokens: App['tokens']
}

/** Sample code for an app, in one language. */
export interface Snippet {
  language: string
  code: string
}

/** The constant parameters of a swap at the token endpoint. */
export const swapParameters = ({ tokens }: Pick<SnippetApp, 'tokens'>): Record<string, string> =>
  tokens === 'ellipsis'
    ? { grant_type: 'refresh_token' }
    : {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      }

/** The parameter of a swap at the token endpoint that carries the broker token. */
export const brokerTokenParameter = ({ tokens }: Pick<SnippetApp, 'tokens'>): string =>
  tokens === 'ellipsis' ? 'refresh_token' : 'subject_token'

/** Does the app swap at `/exchange`, which takes no form? */
export const usesExchange = ({ confidential, tokens }: SnippetApp): boolean =>
  !confidential && tokens === 'broker'

/** The field of a redeemed code's response that has the broker token. */
export const issuedTokenField = ({ tokens }: Pick<SnippetApp, 'tokens'>): string =>
  tokens === 'ellipsis' ? 'refresh_token' : 'access_token'

/** The field of a swap's response that has a newer broker token, if there is one. */
export const renewedTokenField = ({ tokens }: Pick<SnippetApp, 'tokens'>): string =>
  tokens === 'ellipsis' ? 'refresh_token' : 'broker_token'
