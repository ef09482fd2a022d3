import type { CDPSession, Page } from 'playwright-core'

/** A credential as Chromium's virtual authenticator keeps it, with its private key. */
interface Credential {
  credentialId: string
  signCount: number
  [more: string]: unknown
}

/** A virtual authenticator of one browser window (https://www.w3.org/TR/webauthn-3/#sctn-automation). */
export interface Authenticator {
  credentials(): Promise<Credential[]>
  /** Puts a copied credential into it. */
  insert(credential: Credential): Promise<void>
  /** Does the person pass the check of fingerprint or PIN? */
  setVerified(isUserVerified: boolean): Promise<void>
  remove(): Promise<void>
}

/**
 * Connects an authenticator that confirms every request at once.
 * @param options.hasUserVerification it can check fingerprint or PIN
 */
export async function addAuthenticator(
  page: Page,
  { hasUserVerification = true } = {},
): Promise<Authenticator> {
  const cdp: CDPSession = await page.context().newCDPSession(page)
  await cdp.send('WebAuthn.enable')
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification,
      isUserVerified: hasUserVerification,
      automaticPresenceSimulation: true,
    },
  })
  return {
    credentials: async () =>
      (await cdp.send('WebAuthn.getCredentials', { authenticatorId }))
        .credentials as unknown as Credential[],
    insert: async (credential) => {
      await cdp.send('WebAuthn.addCredential', {
        authenticatorId,
        credential: credential as never,
      })
    },
    setVerified: async (isUserVerified) => {
      await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified })
    },
    remove: async () => {
      await cdp.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId })
    },
  }
}

/** Makes a passkey by the page's authenticator. Returns the JSON that a form would send. */
export const createCredential = (page: Page, options: object): Promise<string> =>
  page.evaluate(
    async (json) =>
      JSON.stringify(
        await navigator.credentials.create({
          publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(json as never),
        }),
      ),
    options,
  )

/** Uses a passkey of the page's authenticator. Returns the JSON that a form would send. */
export const getCredential = (page: Page, options: object): Promise<string> =>
  page.evaluate(
    async (json) =>
      JSON.stringify(
        await navigator.credentials.get({
          publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(json as never),
        }),
      ),
    options,
  )
