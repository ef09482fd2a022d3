/**
 * The associated data of a sealed value: the vault opens a value only with the one that it was sealed with, so
 * a value that was moved to another row doesn't open. Stored values depend on these strings: never change them.
 */
export type AssociatedData = `${string}/${string}/${string}`

/** By the id of the row that holds the value, or by the purpose of a value that a cookie holds. */
export const associatedData = {
  refreshToken: (connectionId: string): AssociatedData =>
    `connections/${connectionId}/refresh_token`,
  previousRefreshToken: (connectionId: string): AssociatedData =>
    `connections/${connectionId}/previous_refresh_token`,
  accessToken: (connectionId: string): AssociatedData => `connections/${connectionId}/access_token`,
  /** In a file beside the database. */
  unsavedTokens: (connectionId: string): AssociatedData => `unsaved/${connectionId}/tokens`,
  privateKey: (kid: string): AssociatedData => `signing_keys/${kid}/private_key`,
  secondFactor: (adminId: string): AssociatedData => `admins/${adminId}/second_factor`,
  webhookSecret: (webhookId: string): AssociatedData => `webhooks/${webhookId}/secret`,
  previousWebhookSecret: (webhookId: string): AssociatedData =>
    `webhooks/${webhookId}/previous_secret`,
  /** Not stored: the cookie of a flow in progress. */
  flowCookie: (stateHash: string): AssociatedData => `cookies/${stateHash}/flow`,
  /** Not stored: the `request_uri` of a pushed request (RFC 9126). */
  pushedRequest: (appId: string): AssociatedData => `request_uris/${appId}/parameters`,
  /** Not stored: in the page that asks about another account. */
  waitingTokens: (stateHash: string): AssociatedData => `pages/${stateHash}/tokens`,
  /** Not stored: the cookie of a sign-in at /me in progress, and that of a session there. */
  signInFlow: (stateHash: string): AssociatedData => `cookies/${stateHash}/sign_in`,
  personSession: 'cookies/me/session' as AssociatedData,
  /** Not stored: the cookie of a flow to the identity provider of admins. */
  oidcFlow: (stateHash: string): AssociatedData => `cookies/${stateHash}/oidc_flow`,
  /** Not stored: a link that signs an admin in once. */
  signInLink: (): AssociatedData => 'links/admins/sign_in',
  passkeyChallenge: (purpose: string): AssociatedData => `cookies/${purpose}/passkey_challenge`,
}
