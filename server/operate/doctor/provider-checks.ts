import { describeProxy } from '../../config/proxy.ts'
import { ok, problem, request, warning } from './check.ts'
import type { Check } from './check.ts'

/** What `doctor` reads of the metadata (OpenID Connect Discovery 3). */
interface ProviderMetadata {
  issuer?: string
  jwks_uri?: string
  code_challenge_methods_supported?: string[]
  scopes_supported?: string[]
}

/** Checks of the identity provider of admins. */
export const providerChecks: Record<string, Check> = {
  'identity provider': async ({ adminOidc, adminPasswords, runtime }) => {
    if (!adminOidc) return ok('none: admins sign in with passwords and passkeys')
    const { issuer, scope, proxy } = adminOidc
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const { status, json, failure } = await request(runtime.fetch, url)
    if (status !== 200 || !json) {
      const reason = status === 0 ? `can’t be reached (${failure})` : `answers ${status}`
      const way = proxy ? ` and the proxy ${describeProxy(proxy)}` : ''
      const others = `${adminPasswords ? 'passwords, or with ' : ''}a link of \`admin add\``
      return problem(
        `${url} ${reason}`,
        `Check BROKER_ADMIN_OIDC_ISSUER${way}. Meanwhile admins sign in with ${others}.`,
      )
    }
    const metadata = json as ProviderMetadata
    if (metadata.issuer !== issuer && metadata.issuer !== `${issuer}/`) {
      const fix = `Set BROKER_ADMIN_OIDC_ISSUER to exactly that: ${metadata.issuer}.`
      return problem(`${url} names another issuer`, fix)
    }
    const keys = await request(runtime.fetch, metadata.jwks_uri ?? '')
    if (keys.status !== 200)
      return problem(
        `its keys at ${metadata.jwks_uri} can’t be read`,
        'Check the identity provider.',
      )
    const unknown = scope
      .split(' ')
      .filter((one) => metadata.scopes_supported?.includes(one) === false)
    if (unknown.length > 0) {
      const fix = 'Check BROKER_ADMIN_OIDC_SCOPE. Some providers have scopes that they do not list.'
      return warning(`it does not list the scope ${unknown.join(' ')}`, fix)
    }
    return metadata.code_challenge_methods_supported?.includes('S256') === false
      ? warning('it does not support PKCE with S256', 'Use a provider that does, if you can.')
      : ok(issuer)
  },
}
