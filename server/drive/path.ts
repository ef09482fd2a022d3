import { BrokerError } from '../errors.ts'

/** A path of the Ellipsis Drive API. */
export interface DrivePath {
  /** Decoded. */
  segments: string[]
  /** Canonical: begins with `/`. */
  path: string
  /** Empty, or begins with `?`; without `token`. */
  query: string
}

/** Reads the raw path and query behind `/drive`. @throws BrokerError `invalid_request` */
export function readDrivePath(rawPathAndQuery: string): DrivePath {
  const [, path = '', query = ''] =
    /^(\/[\w.~!$&'()*+,=:@%/-]*)(?:\?(.*))?$/.exec(rawPathAndQuery) ?? []
  const segments = path.slice(1).split('/')
  if (path === '' || segments.some((segment) => /^\.{1,2}$|%2e|%2f|%5c/i.test(segment))) {
    const description = 'This is not a path of the Ellipsis Drive API.'
    throw new BrokerError('invalid_request', { description, reason: 'drive_path_malformed' })
  }
  const kept = query.split('&').filter((part) => part !== '' && !/^token(=|$)/i.test(part))
  return {
    segments: segments.map(decodeURIComponent),
    path,
    query: kept.length === 0 ? '' : `?${kept.join('&')}`,
  }
}
