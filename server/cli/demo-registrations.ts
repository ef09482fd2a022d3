import type { App } from '../../db/store.ts'
import type { AppSettings } from '../oauth/app-settings.ts'
import { Secret } from '../secret.ts'
import type { Services } from '../services.ts'
import type { DemoData } from './demo-data.ts'
import { ACTOR } from './with-services.ts'

/** The developer's app, as the command line describes it. */
export interface MyApp {
  redirectUris: string[]
  confidential: boolean
  /** `undefined`: as before, or broker tokens. */
  tokens: App['tokens'] | undefined
}

/** An app of a demo, with its secret if it has one. */
export interface RegisteredApp {
  app: App
  secret: string | null
}

export interface DemoApps {
  sample: App
  second: App
  mine: RegisteredApp | null
}

const ADMIN_EMAIL = 'demo@example.com'

/** Adds the demo's admin, unless it is there. */
export async function registerAdmin(
  { admins }: Services,
  { adminPassword: password }: DemoData,
): Promise<{ email: string; password: string }> {
  const known = await admins.list()
  if (!known.some(({ email }) => email === ADMIN_EMAIL))
    await admins.add(ADMIN_EMAIL, new Secret(password), ACTOR)
  return { email: ADMIN_EMAIL, password }
}

/** Registers the apps that are not there yet. @throws BrokerError `invalid_request` */
export async function registerApps(
  { apps }: Services,
  data: DemoData,
  { sampleUrl, myApp }: { sampleUrl: string; myApp: MyApp | undefined },
): Promise<DemoApps> {
  const { appDefaults } = await import('../oauth/app-settings.ts')

  const register = async (
    purpose: string,
    settings: Partial<AppSettings> & Pick<AppSettings, 'name' | 'redirectUris'>,
  ): Promise<RegisteredApp> => {
    const known = data.apps[purpose]
    const app = known && (await apps.find(known.id))
    if (app) return { app, secret: known.secret }
    const added = await apps.add({ ...appDefaults, ...settings }, ACTOR)
    const secret = added.clientSecret?.reveal() ?? null
    data.apps[purpose] = { id: added.app.id, secret }
    return { app: added.app, secret }
  }

  /** What the developer has changed since by other commands stays. */
  const registerMine = async ({ confidential, tokens, ...given }: MyApp) => {
    const redirectUris = given.redirectUris.flatMap(spellingsOf)
    const purpose = confidential ? 'my app, confidential' : 'my app'
    const chosen = tokens === undefined ? {} : { tokens }
    const settings = { name: 'My app', redirectUris, confidential, ...chosen }
    const { app, secret } = await register(purpose, settings)
    const missing = redirectUris.filter((uri) => !app.redirectUris.includes(uri))
    if (missing.length === 0 && (tokens === undefined || tokens === app.tokens))
      return { app, secret }
    const changes = { ...chosen, redirectUris: [...missing, ...app.redirectUris] }
    return { app: await apps.set(app.id, changes, ACTOR), secret }
  }

  const sample = await register('sample', { name: 'Sample map', redirectUris: [sampleUrl] })
  const second = await register('second', {
    name: 'Second app',
    redirectUris: [`${sampleUrl}?second`],
  })
  const mine = myApp ? await registerMine(myApp) : null
  return { sample: sample.app, second: second.app, mine }
}

/**
 * The ways in which a page on this machine writes its own URL: by both names of the machine, and without the
 * slash of an empty path, as in `location.origin`. The scheme may be missing. Other redirect URIs stay as they are.
 */
function spellingsOf(redirectUri: string): string[] {
  const parts = /^(https?:\/\/)?(localhost|127\.0\.0\.1)((?::\d+)?)(.*)$/.exec(redirectUri)
  if (!parts) return [redirectUri]
  const [, scheme = 'http://', name = '', port = '', rest = ''] = parts
  const names = [name, name === 'localhost' ? '127.0.0.1' : 'localhost']
  const paths = rest === '' || rest === '/' ? ['/', ''] : [rest]
  return names.flatMap((host) => paths.map((path) => scheme + host + port + path))
}
