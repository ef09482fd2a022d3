/** Where the domain says what happened. Details never hold a secret in plain text. */
export interface Log {
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}
