/** What the stand-in's home page and the documentation say. */

/** The endpoints of Ellipsis Drive. */
export const ENDPOINT_TEXTS: [string, string][] = [
  ['GET /v3/oauth/authorize', 'log in and give consent, in a browser'],
  ['POST /v3/oauth/token', 'exchange a code or refresh token for tokens'],
  ['GET /v3/account', 'the account'],
  ['GET /v3/account/root/{root}', 'list myDrive, sharedWithMe, favorites or trash'],
  ['GET /v3/path/{id}', 'one path'],
  ['GET /v3/path/{id}/folder/list', 'list a folder'],
  [
    'GET /v3/path/{id}/raster/timestamp/{timestampId}/tile/{z}/{x}/{y}',
    'a tile of a raster; PNG, 256 pixels',
  ],
  ['GET /v3/ogc/wms/{id}', 'a raster as WMS 1.1.1 and 1.3.0: GetCapabilities and GetMap'],
  ['GET /v3/path/{id}/file/data', 'the content of a file, or a range of it'],
  ['POST /v3/path/file', 'upload a file; multipart/form-data'],
]

/** The routes that control the stand-in. */
export const CONTROL_TEXTS: [string, string][] = [
  ['GET /control', 'read switches, call counts and pending faults'],
  ['POST /control', 'change switches; JSON'],
  ['DELETE /control/calls', 'reset the call counts'],
  [
    'POST /control/faults',
    'add a fault; JSON with endpoint, kind, times or share, and the fields of the kind',
  ],
  ['DELETE /control/faults', 'remove all faults'],
  ['POST /control/revoke', '{"refresh_token"}: revoke it and its family'],
  [
    'POST /control/honours',
    '{"refresh_tokens": []}: tell whether a refresh with each would work now',
  ],
  [
    'POST /control/grants',
    '{"usernames": [], "client_id"}: issue refresh tokens without a browser',
  ],
]

/** The kinds of faults. */
export const FAULT_TEXTS: [string, string][] = [
  ['status', 'respond with status, and Retry-After if retryAfter is set'],
  ['delay, late', 'wait for milliseconds, before or after the work'],
  ['cut-before, cut-after', 'close the connection, before or after the work'],
  ['slow', 'send the body at bytesPerSecond'],
  ['cut-during', 'close the connection after that many bytes of the body'],
  ['hang', 'never respond'],
  ['garbage, html', 'status 200 with truncated JSON, or an HTML page'],
  ['invalid_client, invalid_grant', 'the OAuth error, even for a valid client and token'],
]
