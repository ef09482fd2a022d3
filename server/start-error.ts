/** The broker can't start; the message says what to do. */
export class StartError extends Error {
  override name = 'StartError'
}
