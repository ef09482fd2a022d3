/** What an app may ask for: RFC 6749 3.3, OpenID Connect Core 5.4. */

/** Ellipsis Drive's only scope: every call except the account's security settings. */
export const PROJECTS = 'projects'
/** An ID token: who the user is. */
export const OPENID = 'openid'
/** The user's name in the ID token and at the userinfo endpoint. */
export const PROFILE = 'profile'

/** In the order in which a granted scope names them. */
export const SCOPES = [OPENID, PROFILE, PROJECTS]

/**
 * Scopes that OpenID Connect libraries ask for by default, and that have no effect here: Ellipsis Drive does not
 * reliably tell an e-mail address, and access never depends on the user's presence.
 */
const IGNORED_SCOPES = ['email', 'address', 'phone', 'offline_access']

/**
 * The scope to grant. Without a request it is `projects`. With `openid`, unknown scopes are ignored (OpenID
 * Connect Core 3.1.2.1).
 * @returns `null`: the request has an unknown scope, or no scope that is left
 */
export function grantedScope(requested: string | undefined): string | null {
  if (requested === undefined) return PROJECTS
  const names = requested.split(' ').filter((name) => name !== '')
  const granted = SCOPES.filter((name) => names.includes(name))
  const isUnknown = (name: string) => !SCOPES.includes(name) && !IGNORED_SCOPES.includes(name)
  const isRefused = !names.includes(OPENID) && names.some(isUnknown)
  return granted.length === 0 || isRefused ? null : granted.join(' ')
}

/** Which scopes were granted, by name: for pages. */
export const readScopes = (granted: string) => ({
  openid: includesScope(granted, OPENID),
  profile: includesScope(granted, PROFILE),
  projects: includesScope(granted, PROJECTS),
})

/** Does a granted scope include this one? */
export const includesScope = (granted: string, scope: string): boolean =>
  granted === scope || granted.split(' ').includes(scope)
