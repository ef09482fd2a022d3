import type { App, DeviceCode, Hash, Millis, NewEvent, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { SCOPE } from './authorize.ts'
import type { Clock, Random } from '../runtime.ts'
import { keyToBind } from './dpop.ts'
import type { Proof } from './dpop.ts'
import { grantBegunEvent } from './grants.ts'
import type { IssuedToken, NewGrant } from './grants.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import { newUserCode, readUserCode } from './user-code.ts'

/** What a program without a browser is told to show, and to poll with (RFC 8628 3.2). */
export interface Started {
  deviceCode: Secret
  /** Letters alone. */
  userCode: string
  /** Seconds. */
  expiresIn: number
  /** Seconds between two polls. */
  interval: number
}

/** What a person has found by its code, and is asked about. */
export interface Waiting {
  code: DeviceCode
  app: App
}

/** What a person answers, and from where. */
export interface Answer {
  deviceCodeHash: Hash
  appId: string
  /** A label of the browser that the person answers with. */
  device: string
  address: string
}

/** A request of a program that waits (RFC 8628 3.4). */
export interface Poll {
  app: App
  deviceCode: Secret
  /** Binds the grant to a key. */
  proof: Proof | null
  address: string
}

/** The device flow, but for what the person does at Ellipsis Drive (RFC 8628). */
export interface DeviceFlow {
  /** @throws BrokerError `unauthorized_client` */
  start(app: App, from: { device: string; address: string }): Promise<Started>
  /** What waits under that code, as a person typed it; `undefined`: nothing (any more). */
  find(typed: string): Promise<Waiting | undefined>
  /** Does it still wait for a person's answer? */
  isPending(deviceCodeHash: Hash): Promise<boolean>
  /** The person let it in. `false`: too late. */
  approve(answer: Answer & { connectionId: string }): Promise<boolean>
  /** The person refuses. */
  deny(answer: Pick<Answer, 'deviceCodeHash'>): Promise<void>
  /**
   * @param prepare runs before the code is used up: if it throws, the program may ask again
   * @throws BrokerError `authorization_pending`, `polled_too_often`, `device_refused`, `expired_token`,
   *   `invalid_grant`, `invalid_dpop_proof`
   */
  poll(
    poll: Poll,
    prepare?: (code: { connectionId: string }) => Promise<void>,
  ): Promise<IssuedToken>
}

/** Life of a device code, milliseconds: long enough to find another device and to sign in there. */
const LIFE = 15 * 60_000

/** Seconds between two polls, and those that each poll too soon adds (RFC 8628 3.2, 3.5). */
const INTERVAL = 5
const PENALTY = 5
/** Clocks and networks are uneven: polls that come this much too soon are accepted. */
const POLL_TOLERANCE_MS = 500

export function createDeviceFlow(needs: {
  store: Store
  newGrant: NewGrant
  clock: Clock
  random: Random
}): DeviceFlow {
  const { store, newGrant, clock, random } = needs

  /** The program's own code, whatever has become of it. */
  const own = async ({ app, deviceCode }: Poll): Promise<DeviceCode> => {
    checkAllowed(app)
    const code = await store.getDeviceCode({ deviceCodeHash: sha256(deviceCode.reveal()) })
    if (!code || code.appId !== app.id) throw refuse('This device_code is not known.')
    return code
  }

  /** A device code that comes twice has a copy somewhere: what it began ends, as with RFC 6749 4.1.2. */
  const refuseUsed = async ({ grantId, appId }: DeviceCode, address: string): Promise<never> => {
    const now = clock.now()
    if (grantId !== null) {
      const event = { at: now, actor: 'system', action: 'grant.revoked', appId, grantId, address }
      const details = 'its device code was used a second time'
      await store.revokeGrants({ id: grantId, now, events: [{ ...event, details }] })
    }
    throw refuse('This device_code was used before; the grant that it began is revoked.')
  }

  const allowed = ({ appId, device, address }: Answer): NewEvent => ({
    ...{ at: clock.now(), actor: 'user', action: 'device.allowed', appId, address },
    details: device,
  })

  /**
   * Changes a code as it is by now: changes that others make at the same time stay. Returns the code before;
   * `undefined`: it is gone, or `change` leaves it as it is.
   */
  const update = async (
    deviceCodeHash: Hash,
    change: (code: DeviceCode) => DeviceCode | null,
    events: NewEvent[] = [],
  ): Promise<DeviceCode | undefined> => {
    for (;;) {
      const before = await store.getDeviceCode({ deviceCodeHash })
      const after = before && change(before)
      if (!after) return undefined
      if (await store.updateDeviceCode(before, after, events)) return before
    }
  }

  const refusePending = async ({ deviceCodeHash }: DeviceCode): Promise<never> => {
    const now = clock.now()
    const before = await update(deviceCodeHash, (code) =>
      isPending(code, now) ? recordPoll(code, now) : null,
    )
    const tooSoon = before !== undefined && isPolledTooSoon(before, now)
    throw new BrokerError(tooSoon ? 'polled_too_often' : 'authorization_pending')
  }

  return {
    async start(app, { device, address }) {
      checkAllowed(app)
      const deviceCode = newSecret(random)
      const now = clock.now()
      for (;;) {
        const userCode = newUserCode(random)
        const added = await store.addDeviceCode({
          deviceCodeHash: sha256(deviceCode),
          userCodeHash: sha256(userCode),
          appId: app.id,
          scope: SCOPE,
          device,
          address,
          status: 'pending',
          connectionId: null,
          intervalSeconds: INTERVAL,
          polledAt: null,
          createdAt: now,
          expiresAt: now + LIFE,
          usedAt: null,
          grantId: null,
        })
        const secret = new Secret(deviceCode)
        if (added)
          return { deviceCode: secret, userCode, expiresIn: LIFE / 1000, interval: INTERVAL }
      }
    },

    async find(typed) {
      const letters = readUserCode(typed)
      if (letters === '') return undefined
      const userCodeHash = sha256(letters)
      const code = await store.getDeviceCode({ userCodeHash })
      if (!code || !isPending(code, clock.now())) return undefined
      const app = await store.getApp(code.appId)
      return app && { code, app }
    },

    async isPending(deviceCodeHash) {
      const code = await store.getDeviceCode({ deviceCodeHash })
      return code !== undefined && isPending(code, clock.now())
    },

    async approve({ connectionId, ...answer }) {
      const now = clock.now()
      const approve = (code: DeviceCode): DeviceCode | null =>
        isPending(code, now) ? { ...code, status: 'approved', connectionId } : null
      const events = [{ ...allowed(answer), connectionId }]
      return (await update(answer.deviceCodeHash, approve, events)) !== undefined
    },

    // Of which there is no event: anyone can ask and refuse, as often as they like.
    async deny({ deviceCodeHash }) {
      const now = clock.now()
      await update(deviceCodeHash, (code) =>
        isPending(code, now) ? { ...code, status: 'denied' } : null,
      )
    },

    async poll(poll, prepare) {
      const code = await own(poll)
      const { deviceCodeHash, connectionId } = code
      if (code.usedAt !== null) return refuseUsed(code, poll.address)
      if (code.status === 'denied') throw new BrokerError('device_refused')
      const now = clock.now()
      if (code.expiresAt <= now) throw new BrokerError('expired_token')
      if (connectionId === null) return refusePending(code)
      const jkt = await keyToBind(poll.app, poll.proof)
      await prepare?.({ connectionId })
      const issued = await newGrant({ ...code, connectionId }, poll.app, jkt)
      const { grant } = issued
      const events = [grantBegunEvent(grant, poll.address)]
      const source = { deviceCodeHash }
      if (await store.addGrant(grant, { source, now, events })) return issued
      const again = await store.getDeviceCode(source)
      if (again?.usedAt) return refuseUsed(again, poll.address)
      throw refuse('This device_code is not known.')
    },
  }
}

const isPending = ({ status, expiresAt }: DeviceCode, now: Millis): boolean =>
  status === 'pending' && expiresAt > now

const isPolledTooSoon = ({ polledAt, intervalSeconds }: DeviceCode, now: Millis): boolean =>
  polledAt !== null && now - polledAt < intervalSeconds * 1000 - POLL_TOLERANCE_MS

/** The code after a poll: one that came too soon lengthens the interval (RFC 8628 3.5). */
export const recordPoll = (code: DeviceCode, now: Millis): DeviceCode => ({
  ...code,
  polledAt: now,
  intervalSeconds: code.intervalSeconds + (isPolledTooSoon(code, now) ? PENALTY : 0),
})

/** The host says which apps may: whoever can start a device flow can try to talk people into it. */
function checkAllowed(app: App): void {
  if (app.device) return
  const description = 'This app is not registered for devices; ask the host of this broker.'
  throw new BrokerError('unauthorized_client', { description })
}

const refuse = (description: string): BrokerError =>
  new BrokerError('invalid_grant', { description })
