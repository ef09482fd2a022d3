/** Every error of this client: the broker's OAuth errors, and those of the client itself. */
export class BrokerError extends Error {
  override name = 'BrokerError'
  /**
   * The broker's error code (docs/protocol.md), or one of the client: `not_connected`, `network_error`,
   * `popup_blocked`, `cancelled`, `invalid_state`, `invalid_webhook`.
   */
  readonly code: string
  /** Where the user can connect again, if that would help. */
  readonly reconnectUrl?: string
  /** Try again after so many seconds. */
  readonly retryAfter?: number

  constructor(code: string, message = code, answer: ErrorAnswer = {}, cause?: unknown) {
    super(message, { cause })
    this.code = code
    if (answer.reconnect_url !== undefined) this.reconnectUrl = answer.reconnect_url
    if (answer.retry_after !== undefined) this.retryAfter = answer.retry_after
  }
}

/** An error answer of the broker. */
export interface ErrorAnswer {
  error?: string
  error_description?: string
  reconnect_url?: string
  retry_after?: number
}
