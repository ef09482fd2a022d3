/** Behaviour that is unknown of Ellipsis Drive, or that may vary. Can be changed at any time. */
export interface Switches {
  rotation: 'never' | 'always' | 'grace'
  tokenLifetime: number
  omitExpiresIn: boolean
  omitRefreshToken: boolean
  singleRefreshToken: boolean
  refuseAccount: boolean
  accountWithoutId: boolean
  tokenRequest: 'any' | 'form' | 'json'
  codeParameter: 'any' | 'code' | 'authorization_code'
  errorShape: 'oauth' | 'message' | 'html' | 'empty'
  opaqueTokens: boolean
  tokenLength: number
  tokenDelay: number
  askAgain: boolean
  tileCaching: 'full' | 'etag' | 'none'
}

export const switchDefaults: Readonly<Switches> = {
  rotation: 'never',
  tokenLifetime: 3600,
  omitExpiresIn: false,
  omitRefreshToken: false,
  singleRefreshToken: false,
  refuseAccount: false,
  accountWithoutId: false,
  tokenRequest: 'any',
  codeParameter: 'any',
  errorShape: 'oauth',
  opaqueTokens: false,
  tokenLength: 0,
  tokenDelay: 0,
  askAgain: false,
  tileCaching: 'full',
}

const flag = (description: string) => ({ type: 'boolean', description }) as const

/** JSON Schema for the body of `POST /control`. Its descriptions document the switches. */
export const switchSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    rotation: {
      enum: ['never', 'always', 'grace'],
      description:
        'Refresh token rotation. never: the token stays the same. always: a new token each time; ' +
        'reuse of an old one revokes the whole family. grace: a new token each time; the old one ' +
        'works until the new one is first used, for at most 60 seconds.',
    },
    tokenLifetime: {
      type: 'integer',
      minimum: 1,
      description: 'Lifetime of access tokens, in seconds.',
    },
    omitExpiresIn: flag('Token responses omit expires_in.'),
    omitRefreshToken: flag('Refresh responses omit refresh_token, and the old token stays valid.'),
    singleRefreshToken: flag(
      'A user has one refresh token for each client: another authorization ends the one before.',
    ),
    refuseAccount: flag('GET /account responds with 403.'),
    accountWithoutId: flag('GET /account omits id.'),
    tokenRequest: {
      enum: ['any', 'form', 'json'],
      description: 'Encoding that the token endpoint reads. Other bodies count as empty.',
    },
    codeParameter: {
      enum: ['any', 'code', 'authorization_code'],
      description: 'Parameter from which the token endpoint reads the authorization code.',
    },
    errorShape: {
      enum: ['oauth', 'message', 'html', 'empty'],
      description:
        'Body of token endpoint errors: {error, error_description}, {message}, HTML or empty.',
    },
    opaqueTokens: flag('Access tokens are random text instead of JWTs with exp.'),
    tokenLength: {
      type: 'integer',
      minimum: 0,
      maximum: 32_768,
      description: 'Minimum length of access tokens, in characters.',
    },
    tokenDelay: {
      type: 'integer',
      minimum: 0,
      description: 'Delay of the token endpoint before its work, in milliseconds.',
    },
    askAgain: flag('Ask for consent even if the user has already allowed the client.'),
    tileCaching: {
      enum: ['full', 'etag', 'none'],
      description:
        'Headers of tiles. full: ETag and Cache-Control. etag: ETag only. none: neither.',
    },
  },
} as const
