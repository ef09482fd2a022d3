/** What the stand-in does where Ellipsis Drive is unknown, or known to differ. May be turned at any time. */
export interface Switches {
  rotation: 'never' | 'always' | 'grace'
  tokenLifetime: number
  omitExpiresIn: boolean
  omitRefreshToken: boolean
  refuseAccount: boolean
  accountWithoutId: boolean
  tokenRequest: 'any' | 'form' | 'json'
  codeParameter: 'any' | 'code' | 'authorization_code'
  errorShape: 'oauth' | 'message' | 'html' | 'empty'
  opaqueTokens: boolean
  tokenLength: number
  tokenDelay: number
  askAgain: boolean
}

export const switchDefaults: Readonly<Switches> = {
  rotation: 'never',
  tokenLifetime: 3600,
  omitExpiresIn: false,
  omitRefreshToken: false,
  refuseAccount: false,
  accountWithoutId: false,
  tokenRequest: 'any',
  codeParameter: 'any',
  errorShape: 'oauth',
  opaqueTokens: false,
  tokenLength: 0,
  tokenDelay: 0,
  askAgain: false,
}

const flag = (description: string) => ({ type: 'boolean', description }) as const

/** JSON Schema of what `POST /control` takes; its descriptions are the documentation of the switches. */
export const switchSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    rotation: {
      enum: ['never', 'always', 'grace'],
      description:
        'What a refresh does to the refresh token. never: the same one stays. always: a new one each ' +
        'time; using an old one ends the whole family. grace: a new one each time; the old one works ' +
        'until the new one is first used, 60 seconds at most.',
    },
    tokenLifetime: {
      type: 'integer',
      minimum: 1,
      description: 'Life of an access token, in seconds.',
    },
    omitExpiresIn: flag('Token answers come without expires_in.'),
    omitRefreshToken: flag('A refresh answers without refresh_token, and the old one stays.'),
    refuseAccount: flag('GET /account answers 403.'),
    accountWithoutId: flag('GET /account answers without id.'),
    tokenRequest: {
      enum: ['any', 'form', 'json'],
      description: 'Encoding that the token endpoint reads; another body counts as empty.',
    },
    codeParameter: {
      enum: ['any', 'code', 'authorization_code'],
      description: 'Parameter in which the token endpoint looks for the authorization code.',
    },
    errorShape: {
      enum: ['oauth', 'message', 'html', 'empty'],
      description:
        "Body of the token endpoint's errors: {error, error_description}, {message}, HTML or nothing.",
    },
    opaqueTokens: flag('Access tokens are random text rather than JWTs with exp.'),
    tokenLength: {
      type: 'integer',
      minimum: 0,
      maximum: 32_768,
      description: 'Access tokens are at least this many characters long.',
    },
    tokenDelay: {
      type: 'integer',
      minimum: 0,
      description: 'The token endpoint takes this long, in milliseconds, before it works.',
    },
    askAgain: flag('Ask for consent even if this user allowed this client before.'),
  },
} as const
