/** Every error of the SDK. Cancelled calls reject with the reason of their signal instead. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  /** One of the codes in docs/protocol.md, such as `reconnect_required`, or one that the function documents. */
  readonly code: string
  /** Where the user connects again. */
  readonly reconnectUrl?: string
  /** Seconds to wait before the next attempt. */
  readonly retryAfter?: number

  constructor(
    code: string,
    message: string,
    details: { reconnectUrl?: string; retryAfter?: number; cause?: unknown } = {},
  ) {
    const { reconnectUrl, retryAfter, ...rest } = details
    super(message, rest)
    this.code = code
    if (reconnectUrl !== undefined) this.reconnectUrl = reconnectUrl
    if (retryAfter !== undefined) this.retryAfter = retryAfter
  }
}
