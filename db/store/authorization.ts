/** Authorizations in progress, and the grants that they end in; see db/store.ts. */
import type { Code, Flow, Grant, Hash, Millis, NewEvent, SwapState } from '../model.ts'

/** A device without a browser, waiting for a person to approve it (RFC 8628). */
export interface DeviceCode {
  /** Hash of the secret that the device polls with. */
  deviceCodeHash: Hash
  /** Hash of the code that the person types. */
  userCodeHash: Hash
  appId: string
  scope: string
  /** A label for people. */
  device: string
  /** Network address of the device. */
  address: string
  /** `approved`: by a person, for `connectionId`. */
  status: 'pending' | 'approved' | 'denied'
  connectionId: string | null
  /** Seconds that the device has to wait between two polls; longer after polls that came too soon. */
  intervalSeconds: number
  polledAt: Millis | null
  createdAt: Millis
  expiresAt: Millis
  usedAt: Millis | null
  /** The grant that it began. */
  grantId: string | null
}

/** The unused code, or approved device code, that a grant is issued for. */
export type GrantSource = { codeHash: Hash } | { deviceCodeHash: Hash }

/** Flows, codes, device codes and DPoP proofs. */
export interface AuthorizationStore {
  addFlow(flow: Flow): Promise<void>
  /**
   * Returns the flow and deletes it, if it belongs to this browser and has not expired.
   * `stateHash` `null`: the browser's only flow; if it has several, none.
   */
  takeFlow(flow: {
    stateHash: Hash | null
    browserHashes: Hash[]
    now: Millis
  }): Promise<Flow | undefined>
  getCode(codeHash: Hash): Promise<Code | undefined>

  /** `false`: another one has that user code. */
  addDeviceCode(code: DeviceCode): Promise<boolean>
  /** Whatever its status, until the sweep deletes it. */
  getDeviceCode(
    key: Pick<DeviceCode, 'deviceCodeHash'> | Pick<DeviceCode, 'userCodeHash'>,
  ): Promise<DeviceCode | undefined>
  /**
   * Replaces a device code that is still as it was read (`before`). `false`: it was changed or deleted since.
   * A change that leaves the status as it is may be lost with the power.
   */
  updateDeviceCode(before: DeviceCode, after: DeviceCode, events: NewEvent[]): Promise<boolean>

  /**
   * Records a DPoP proof (RFC 9449 11.1) or the challenge of a passkey as used until `expiresAt`. `false`: it was
   * used before. May be lost with the power.
   */
  useProof(proof: { proofHash: Hash; expiresAt: Millis }): Promise<boolean>
}

/** Grants, and what a swap reads and writes. */
export interface GrantStore {
  /**
   * Begins a grant, and uses up the code that it is issued for (`source`; `null`: an import, no code).
   * `false`, and nothing changed: the code is unknown, not approved, used or expired; there is a grant with
   * that id; or the connection is unknown or revoked.
   */
  addGrant(
    grant: Grant,
    options: { source: GrantSource | null; now: Millis; events: NewEvent[] },
  ): Promise<boolean>
  getGrant(id: string): Promise<Grant | undefined>
  /** All grants of a connection, by id. */
  listGrants(connectionId: string): Promise<Grant[]>
  /**
   * Revokes one grant, or those of an app on a connection together with its unredeemed codes and device codes.
   * Returns how many grants were revoked now.
   */
  revokeGrants(
    grants: ({ id: string } | { connectionId: string; appId: string }) & {
      now: Millis
      events: NewEvent[]
    },
  ): Promise<number>

  /** Everything that a swap decides on, as of now. `undefined`: no such grant. */
  getSwapState(key: { grantId: string; kid: string }): Promise<SwapState | undefined>
  /** Marks the grant's current token as used, if `jti` is still current and was not used before. */
  useJti(use: { grantId: string; jti: string; now: Millis }): Promise<void>
  /**
   * Makes `jti` the grant's current token, not used yet, and `previousJti` the one before it. `false`:
   * `expectedJti` isn't current, or the grant was revoked.
   */
  renewGrant(renewal: {
    grantId: string
    expectedJti: string
    previousJti: string
    jti: string
    issuedAtSeconds: number
    expiresAtSeconds: number
  }): Promise<boolean>
}
