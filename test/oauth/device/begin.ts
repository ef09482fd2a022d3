import type { Test } from 'tap'
import type { AppSettings } from '../../../server/oauth/app-settings.ts'
import { addAppWithSecret, allow, buildBroker, postForm } from '../../helper.ts'
import type { TestBroker, TestOptions } from '../../helper.ts'
import { Visitor } from '../../visitor.ts'

export const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code'

/** A broker with a device app, and the requests of its device. */
export async function begin(
  t: Test,
  settings: Partial<AppSettings> = {},
  options: TestOptions = {},
) {
  const broker = await buildBroker(t, options)
  const device = await addDevice(broker, settings)
  return { broker, ...device }
}

/** Adds an app without redirect URIs. */
export async function addDevice(broker: TestBroker, settings: Partial<AppSettings> = {}) {
  const { app, clientSecret } = await addAppWithSecret(broker, {
    device: true,
    name: 'Night job',
    redirectUris: [],
    ...settings,
  })
  const secret = clientSecret?.reveal()
  const client = { client_id: app.id, ...(secret !== undefined && { client_secret: secret }) }
  const start = (more: Record<string, string> = {}, headers = {}) =>
    postForm(`${broker.url}/oauth/device_authorization`, { ...client, ...more }, headers)
  const poll = (deviceCode: unknown, more: Record<string, string> = {}) =>
    postForm(`${broker.url}/oauth/token`, {
      grant_type: DEVICE_CODE,
      device_code: String(deviceCode),
      ...client,
      ...more,
    })
  return { app, client, start, poll }
}

/** A user types a code. Returns the consent page. */
export async function enterCode(broker: TestBroker, userCode: unknown, visitor = new Visitor()) {
  const page = await visitor.open(`${broker.url}/device`)
  return visitor.press(page, 'Continue', { user_code: String(userCode) })
}

/** A user types a code, and completes the authorization. */
export async function allowDevice(
  broker: TestBroker,
  userCode: unknown,
  user = 'amelie',
  visitor = new Visitor(),
) {
  const asked = await enterCode(broker, userCode, visitor)
  const answered = await visitor.press(asked, 'Continue to Ellipsis Drive')
  return allow(visitor, answered, user)
}
