/** What can be counted and what can be made to fail, by name. */
export const ENDPOINTS = [
  'authorize', // GET /oauth/authorize
  'token', // POST /oauth/token, but for refreshes
  'refresh', // POST /oauth/token, grant_type refresh_token
  'account', // GET /account
  'root', // GET /account/root/{root}
  'path', // GET /path/{id}
  'folder', // GET /path/{id}/folder/list
] as const
export type Endpoint = (typeof ENDPOINTS)[number]

/** A failure on purpose. */
export type Fault = FaultKind & {
  endpoint: Endpoint
  /** For how many calls; without it and `share`, for one. */
  times?: number
  /** Which part of the calls it strikes, 0 to 1. */
  share?: number
}

type FaultKind =
  /** Answers with that status; `retryAfter` is sent as it is (seconds or an HTTP date). */
  | { kind: 'status'; status: number; retryAfter?: string | number; worked?: boolean }
  /** Waits, then works and answers. */
  | { kind: 'delay'; milliseconds: number }
  /** Works, waits, then answers. */
  | { kind: 'late'; milliseconds: number }
  /** Destroys the connection before the work. */
  | { kind: 'cut-before' }
  /** Works, then destroys the connection. */
  | { kind: 'cut-after' }
  /** Never answers. / JSON that ends in the middle. / A page where JSON belongs, status 200. */
  | { kind: 'hang' | 'garbage' | 'html'; worked?: boolean }
  /** The OAuth error, whatever the client or the token is worth. Nothing happens to the token. */
  | { kind: 'invalid_client' | 'invalid_grant' }

/** Does the endpoint do its work (a rotation, say) before this fault strikes? */
export function worksFirst(fault: Fault): boolean {
  if (fault.kind === 'late' || fault.kind === 'cut-after') return true
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

/** JSON Schema of what `POST /control/faults` takes. */
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
    variant(['hang', 'garbage', 'html'], { worked: { type: 'boolean' } }),
    variant(['cut-before', 'cut-after', 'invalid_client', 'invalid_grant'], {}),
  ],
}

/** Faults that wait for a call to strike. */
export class Faults {
  #waiting: Fault[] = []
  readonly #random: () => number

  /** @param random numbers in [0, 1), for faults that strike a share of the calls */
  constructor(random: () => number) {
    this.#random = random
  }

  add(fault: Fault): void {
    this.#waiting.push({ ...fault })
  }

  clear(): void {
    this.#waiting = []
  }

  list(): Fault[] {
    return this.#waiting.map((fault) => ({ ...fault }))
  }

  /** The fault that strikes this call, if one does: of several the one that was added first. */
  take(endpoint: Endpoint): Fault | undefined {
    const fault = this.#waiting.find((one) => one.endpoint === endpoint && this.#strikes(one))
    if (fault) this.#use(fault)
    return fault
  }

  #strikes({ share }: Fault): boolean {
    return share === undefined || this.#random() < share
  }

  #use(fault: Fault): void {
    const { times = fault.share === undefined ? 1 : Infinity } = fault
    if (times > 1) fault.times = times - 1
    else this.#waiting = this.#waiting.filter((one) => one !== fault)
  }
}
