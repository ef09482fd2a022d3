/** Authorizations in progress, and the grants that they end in; see db/store.ts. */
import type {
  AccessPolicy,
  Code,
  Connection,
  Grant,
  Hash,
  Millis,
  NewEvent,
  SwapState,
} from '../model.ts'

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
  /** The network of `address` that its codes are counted for; empty: unknown. */
  network: string
  /** For the grant, once approved. */
  policy: AccessPolicy | null
}

/** The unused code, or approved device code, that a grant is issued for. */
export type GrantSource = { codeHash: Hash } | { deviceCodeHash: Hash }

/** A grant in the list of its app. */
export interface ListedGrant {
  grant: Grant
  connection: Pick<Connection, 'username' | 'status'>
}

/** Used states, codes, device codes and DPoP proofs. */
export interface AuthorizationStore {
  /** Records a flow's state as used, until `expiresAt`. `false`: it was used before. May be lost with the power. */
  useState(state: { stateHash: Hash; expiresAt: Millis }): Promise<boolean>
  /** Those of the states that were used. */
  listUsedStates(stateHashes: Hash[]): Promise<Hash[]>
  getCode(codeHash: Hash): Promise<Code | undefined>

  /**
   * Adds a device code, unless another one has its user code, or too many wait: they are not approved, and have
   * not expired when this one is created. May be lost with the power.
   * @param bounds `maxOfNetwork`: codes of the same app and network that may wait (`null`: any number); `max`:
   *   of all
   */
  addDeviceCode(
    code: DeviceCode,
    bounds: { maxOfNetwork: number | null; max: number },
  ): Promise<'added' | 'user_code_taken' | 'network_full' | 'full'>
  /** The codes that count as waiting, in no order. */
  listWaitingDeviceCodes(
    now: Millis,
  ): Promise<Pick<DeviceCode, 'deviceCodeHash' | 'address' | 'network' | 'createdAt'>[]>
  /** Deletes those of the codes that are not approved. */
  removeDeviceCodes(deviceCodeHashes: Hash[]): Promise<void>
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
   * Reads `limit` grants, by id, and returns those that are not revoked, began in a browser, and whose connection is
   * not revoked and has no account id.
   * @param page.after `next` of the call before; `null`: the first call
   * @returns maybe no rows although there are more: only `next` `null` is the end
   */
  listGrantsWithoutAccount(page: { after: string | null; limit: number }): Promise<{
    rows: Pick<Grant, 'appId' | 'connectionId' | 'browserHash'>[]
    next: string | null
  }>
  /**
   * `limit` grants of an app, by id, whatever their status.
   * @param page.externalId only these; `null`: all
   * @param page.after the id before the page; `null`: from the beginning
   */
  listGrantsOfApp(page: {
    appId: string
    externalId: string | null
    after: string | null
    limit: number
  }): Promise<ListedGrant[]>
  /** Sets the app's own id of the user. `false`: the app has no such grant. */
  setExternalId(change: {
    grantId: string
    appId: string
    externalId: string | null
    events: NewEvent[]
  }): Promise<boolean>
  /**
   * Revokes one grant (with `device`: also the others that its app has on the connection in the same browser), or those
   * of an app on a connection together with its unredeemed codes and device codes, which count as a change.
   * Returns how many grants were revoked now.
   */
  revokeGrants(
    grants: ({ id: string; device?: boolean } | { connectionId: string; appId: string }) & {
      now: Millis
      events: NewEvent[]
    },
  ): Promise<number>

  /** Everything that a swap decides on, as of now. `undefined`: no such grant. */
  getSwapState(key: { grantId: string; kid: string }): Promise<SwapState | undefined>
  /**
   * Records the first use of the grant's current token, or of another successor of the same token (`jti`), which
   * becomes the current one. `false`: `expectedJti` isn't current any more, or was used before.
   */
  useJti(use: { grantId: string; expectedJti: string; jti: string; now: Millis }): Promise<boolean>
  /**
   * Makes `jti` the grant's current token, not used yet, and `previousJti` the one before it. `false`:
   * `expectedJti` isn't current, or the grant was revoked.
   */
  renewGrant(renewal: {
    grantId: string
    expectedJti: string
    previousJti: string
    jti: string
    successorsSinceSeconds: number | null
    issuedAtSeconds: number
    expiresAtSeconds: number
  }): Promise<boolean>
}
