import type { App } from '../../../db/store.ts'
import type { Models } from '../../../views/models.ts'
import type { Translator } from '../../../views/translate.ts'
import { permissionsOf } from '../../oauth/access-policy.ts'
import { describeLimit } from '../../oauth/duration.ts'
import { readScopes } from '../../oauth/scope.ts'

type ConsentModel = Pick<
  Models['consent'],
  'appName' | 'scopes' | 'permissions' | 'offline' | 'returnsTo' | 'atMost' | 'fragment'
>

/** What the consent page says about an app. @param redirectUri an empty one: nowhere */
export const consentModel = (
  app: Pick<
    App,
    'name' | 'access' | 'readOnly' | 'allow' | 'offline' | 'grantLifetimeSeconds' | 'deliver'
  >,
  { redirectUri, scope }: { redirectUri: string; scope: string },
  { amount, text }: Pick<Translator, 'amount' | 'text'>,
): ConsentModel => ({
  appName: app.name,
  scopes: readScopes(scope),
  permissions: permissionsOf(app),
  offline: app.offline,
  returnsTo: describeTarget(redirectUri, (scheme) => text('consent.appAt', { scheme })),
  atMost: describeLimit(app, amount),
  fragment: app.deliver === 'fragment',
})

/** Where the user will return to, in readable form; `null`: nowhere. */
function describeTarget(redirectUri: string, appAt: (scheme: string) => string): string | null {
  if (redirectUri === '') return null
  const { protocol, host } = new URL(redirectUri)
  return protocol === 'https:' || protocol === 'http:' ? host : appAt(protocol)
}
