import type { Switches } from '../switches.ts'

type ErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unsupported_grant_type'
  | 'unsupported_response_type'
  | 'invalid_scope'
  | 'access_denied'

/** An OAuth error (RFC 6749 4.1.2.1 and 5.2). */
export class OAuthError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, description: string) {
    super(description)
    this.code = code
  }
}

/** A complete HTTP response. */
export interface RawResponse {
  status: number
  /** Content type. */
  type: string
  headers: Record<string, string>
  body: string
}

const JSON_TYPE = 'application/json; charset=utf-8'

/** The token endpoint's error response (RFC 6749 5.2), in the form that the switch `errorShape` selects. */
export function oauthErrorResponse(
  { code, message }: OAuthError,
  { errorShape }: Pick<Switches, 'errorShape'>,
): RawResponse {
  const status = code === 'invalid_client' ? 401 : 400
  const headers: Record<string, string> = { 'cache-control': 'no-store' }
  if (status === 401) headers['www-authenticate'] = 'Basic realm="stand-in"'
  switch (errorShape) {
    case 'oauth': {
      const body = JSON.stringify({ error: code, error_description: message })
      return { status, headers, type: JSON_TYPE, body }
    }
    case 'message':
      return { status, headers, type: JSON_TYPE, body: JSON.stringify({ message }) }
    case 'html': {
      const body = `<!doctype html><title>Error</title><pre>${message}</pre>`
      return { status, headers, type: 'text/html; charset=utf-8', body }
    }
    case 'empty':
      return { status, headers, type: 'text/plain; charset=utf-8', body: '' }
  }
}
