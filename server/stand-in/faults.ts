/** The endpoints whose calls are counted and can fail. */
export const ENDPOINTS = [
  'authorize', // GET /oauth/authorize
  'token', // POST /oauth/token, other grant types
  'refresh', // POST /oauth/token, grant_type refresh_token
  'account', // GET /account
  'root', // GET /account/root/{root}
  'path', // GET /path/{id}
  'folder', // GET /path/{id}/folder/list
  'tile', // GET /path/{id}/raster/timestamp/{timestampId}/tile/{z}/{x}/{y}
  'wms', // GET /ogc/wms/{id}
  'download', // GET /path/{id}/file/data
  'upload', // POST /path/file
] as const
export type Endpoint = (typeof ENDPOINTS)[number]

/** An injected failure. */
export type Fault = FaultKind & {
  endpoint: Endpoint
  /** Number of calls; without `times` and `share`, one. */
  times?: number
  /** Share of the calls that fail, 0 to 1. */
  share?: number
}

type FaultKind =
  /** Responds with that status; `retryAfter` is sent unchanged (seconds or an HTTP date). */
  | { kind: 'status'; status: number; retryAfter?: string | number; worked?: boolean }
  /** Waits before the work. */
  | { kind: 'delay'; milliseconds: number }
  /** Waits after the work. */
  | { kind: 'late'; milliseconds: number }
  /** Closes the connection before the work. */
  | { kind: 'cut-before' }
  /** Closes the connection after the work. */
  | { kind: 'cut-after' }
  /** No response. / Truncated JSON, status 200. / An HTML page instead of JSON, status 200. */
  | { kind: 'hang' | 'garbage' | 'html'; worked?: boolean }
  /** Sends the body at this speed. */
  | { kind: 'slow'; bytesPerSecond: number }
  /** Closes the connection after that many bytes of the body. */
  | { kind: 'cut-during'; bytes: number }
  /** The OAuth error, even for a valid client and token. The token stays valid. */
  | { kind: 'invalid_client' | 'invalid_grant' }

/** Tells whether the endpoint does its work (such as a rotation) before this fault applies. */
export function appliesAfterWork(fault: Fault): boolean {
  if (['late', 'cut-after', 'slow', 'cut-during'].includes(fault.kind)) return true
  return 'worked' in fault && fault.worked === true
}

const variant = (kinds: string[], properties: object, required: string[] = []) => ({
  type: 'object',
  additionalProperties: false,
  required: ['endpoint', 'kind', ...required],
  properties: {
    endpoint: { enum: ENDPOINTS },
    times: { type: 'integer', minimum: 1 },
    share: { type: 'number', minimum: 0, maximum: 1 },
    kind: { enum: kinds },
    ...properties,
  },
})

/** JSON Schema for the body of `POST /control/faults`. */
export const faultSchema = {
  type: 'object',
  required: ['endpoint', 'kind'],
  discriminator: { propertyName: 'kind' },
  oneOf: [
    variant(
      ['status'],
      {
        status: { type: 'integer', minimum: 200, maximum: 599 },
        retryAfter: { anyOf: [{ type: 'string' }, { type: 'integer' }] },
        worked: { type: 'boolean' },
      },
      ['status'],
    ),
    variant(['delay', 'late'], { milliseconds: { type: 'integer', minimum: 0 } }, ['milliseconds']),
    variant(['slow'], { bytesPerSecond: { type: 'integer', minimum: 1 } }, ['bytesPerSecond']),
    variant(['cut-during'], { bytes: { type: 'integer', minimum: 0 } }, ['bytes']),
    variant(['hang', 'garbage', 'html'], { worked: { type: 'boolean' } }),
    variant(['cut-before', 'cut-after', 'invalid_client', 'invalid_grant'], {}),
  ],
}

/** The faults that apply to coming calls. */
export class Faults {
  #pending: Fault[] = []
  readonly #random: () => number

  /** @param random numbers in [0, 1), for faults with a `share` */
  constructor(random: () => number) {
    this.#random = random
  }

  add(fault: Fault): void {
    this.#pending.push({ ...fault })
  }

  clear(): void {
    this.#pending = []
  }

  list(): Fault[] {
    return this.#pending.map((fault) => ({ ...fault }))
  }

  /** Returns the fault that applies to this call and counts it; of several, the one added first. */
  take(endpoint: Endpoint): Fault | undefined {
    const fault = this.#pending.find(
      (candidate) => candidate.endpoint === endpoint && this.#applies(candidate),
    )
    if (fault) this.#countUse(fault)
    return fault
  }

  #applies({ share }: Fault): boolean {
    return share === undefined || this.#random() < share
  }

  #countUse(fault: Fault): void {
    const { times = fault.share === undefined ? 1 : Infinity } = fault
    if (times > 1) fault.times = times - 1
    else this.#pending = this.#pending.filter((pending) => pending !== fault)
  }
}
