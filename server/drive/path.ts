/** The path of a request to the Ellipsis Drive API. */
export interface DrivePath {
  /** Decoded. */
  segments: string[]
  /** Canonical: encoded again; begins with `/`. */
  path: string
  /** Empty, or begins with `?`; without `token`. */
  query: string
}
