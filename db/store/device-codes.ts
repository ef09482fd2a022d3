import type { Grant, Hash, Millis, NewEvent } from '../model.ts'

/** A program without a browser of its own, waiting for a person to let it in (RFC 8628). */
export interface DeviceCode {
  /** Of the secret that the program polls with. */
  deviceCodeHash: Hash
  /** Of the code that the person types. */
  userCodeHash: Hash
  appId: string
  scope: string
  /** A label for people. */
  device: string
  /** Network address that it was asked for from. */
  address: string
  /** `approved`: a person let it in, and `connectionId` says to what. */
  status: 'pending' | 'approved' | 'denied'
  connectionId: string | null
  /** Seconds that the program has to wait between two polls; grows when it doesn't. */
  intervalSeconds: number
  polledAt: Millis | null
  createdAt: Millis
  expiresAt: Millis
  usedAt: Millis | null
  /** The grant that it began. */
  grantId: string | null
}

/** Programs that wait. What has ended is kept for a while, so that they are told so. */
export interface DeviceCodeStore {
  /** `false`: another has that user code. */
  addDeviceCode(code: DeviceCode): Promise<boolean>
  getDeviceCode(deviceCodeHash: Hash): Promise<DeviceCode | undefined>
  /** The one that a person means: pending, and not past its end. */
  findDeviceCode(user: { userCodeHash: Hash; now: Millis }): Promise<DeviceCode | undefined>
  /**
   * Notes that a pending one was polled. `true`: sooner than `intervalSeconds` after the time before,
   * which makes the interval `penalty` seconds longer. May be lost with the power.
   */
  pollDeviceCode(poll: { deviceCodeHash: Hash; now: Millis; penalty: number }): Promise<boolean>
  /** Lets a pending one in. `false`: it isn't pending any more. */
  approveDeviceCode(approval: {
    deviceCodeHash: Hash
    connectionId: string
    now: Millis
    events: NewEvent[]
  }): Promise<boolean>
  /** Turns a pending one away. `false`: it isn't pending any more. */
  denyDeviceCode(denial: { deviceCodeHash: Hash; now: Millis }): Promise<boolean>
  /** Uses an approved one and begins its grant; `false`: it isn't approved, was used, or has ended. */
  redeemDeviceCode(code: {
    deviceCodeHash: Hash
    now: Millis
    grant: Grant
    events: NewEvent[]
  }): Promise<boolean>
}
