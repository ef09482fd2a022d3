import type { App } from '../../db/store.ts'

/** Fields of an app that are a flag or a choice. Every other field has code of its own. */
type OptionName = Exclude<
  keyof App,
  | 'id'
  | 'name'
  | 'confidential'
  | 'secrets'
  | 'redirectUris'
  | 'origins'
  | 'tokenLifetimeSeconds'
  | 'grantLifetimeSeconds'
  | 'allow'
  | 'requestsPerMinute'
  | 'requestsPerDay'
  | 'jwks'
  | 'jwksUri'
  | 'createdAt'
>

export type AppOptions = Pick<App, OptionName>

/** How a flag's value is written; a choice's value is written as it is. */
type Written<Value> = Value extends boolean ? 'yes' | 'no' : Value

interface ValueText {
  /** Beside its input in the dashboard's form. A default without one means an empty checkbox. */
  label?: string
  /** On the app's page in the dashboard. */
  summary: string
  /** In the dashboard's list of apps. */
  badge?: { text: string; isWarning: boolean }
}

export interface AppOption<Value = boolean | string> {
  default: Value
  /** Help of the command-line option `--name`. */
  help: string
  /** Help of `--no-name`; flags only. */
  negatedHelp?: string
  /** Heading in the dashboard. */
  title: string
  /** Many apps choose it: the dashboard’s form does not have it under “Advanced”. */
  isCommon?: true
  hint?: string
  caution?: { lead: string; text: string }
  values: Record<Written<Value> & string, ValueText>
}

/**
 * Every flag and choice of an app. Command-line options, JSON output, the dashboard's form, list and page,
 * and the defaults come from this table. A new one needs an entry here, a field of `App` (db/model.ts) and
 * a column of `apps` (db/sql/schema.ts) with its migration.
 */
const table: { [Name in OptionName]: AppOption<App[Name]> } = {
  tokens: {
    default: 'broker',
    help: 'broker: the app gets a broker token. ellipsis: plain OAuth with Ellipsis Drive’s access token, for an OAuth library or program that calls Ellipsis Drive itself',
    title: 'Tokens',
    values: {
      broker: {
        label: 'Broker token. The app swaps it for access tokens.',
        summary: 'Broker token',
      },
      ellipsis: {
        label:
          'Plain OAuth: Ellipsis Drive’s access token, with the broker token as refresh token. For OAuth libraries and programs such as QGIS.',
        summary: 'Plain OAuth: Ellipsis Drive’s access token',
      },
    },
  },
  deliver: {
    default: 'code',
    help: 'code: a one-time code. fragment: an access token in the URL, for a page without a back end; less safe',
    title: 'Delivery',
    caution: {
      lead: 'The fragment is less safe:',
      text: 'the access token is part of the page’s address, where browser history and scripts can read it, and the app cannot renew it.',
    },
    values: {
      code: { label: 'One-time code, with PKCE', summary: 'One-time code' },
      fragment: {
        label: 'URL fragment, for pages that cannot redeem a code',
        summary: 'URL fragment',
        badge: { text: 'Fragment: less safe', isWarning: true },
      },
    },
  },
  device: {
    default: false,
    help: 'allow the device flow (RFC 8628) for programs without a browser: users type a code. Needs no redirect URI',
    negatedHelp: 'disable the device flow',
    title: 'Device flow',
    isCommon: true,
    values: {
      yes: {
        label:
          'Allow devices without a browser: users type a code on another device. Needs no redirect URI.',
        summary: 'Enabled: users type a code on another device',
      },
      no: { summary: 'Disabled' },
    },
  },
  dpop: {
    default: 'optional',
    help: 'optional: the app decides. required: broker tokens are bound to a key of the app (RFC 9449), so a stolen token is useless; recommended for browser apps',
    title: 'DPoP',
    hint: 'Recommended for apps in a browser, where scripts of others may read a token. The app needs a library with DPoP.',
    values: {
      optional: { summary: 'Optional' },
      required: {
        label:
          'Require DPoP: broker tokens are bound to a key of the app. A stolen token is useless without the key.',
        summary: 'Required',
      },
    },
  },
  access: {
    default: 'token',
    help: 'token: the app gets access tokens of Ellipsis Drive. proxy: it never gets one, and sends its requests through /drive: revoking ends its access at once',
    title: 'Access',
    isCommon: true,
    hint: 'With the proxy, a stolen token is worth nothing at Ellipsis Drive, and revoking ends access at once.',
    values: {
      token: { label: 'Access tokens of Ellipsis Drive', summary: 'Access tokens' },
      proxy: {
        label: 'Only through this broker’s proxy, /drive: the app never gets an access token',
        summary: 'Only through the proxy',
        badge: { text: 'Proxy', isWarning: false },
      },
    },
  },
  readOnly: {
    default: false,
    help: 'through the proxy, allow only requests that read',
    negatedHelp: 'allow requests that change something; asks users again',
    title: 'Requests',
    isCommon: true,
    hint: 'Needs access through the proxy.',
    values: {
      yes: {
        label: 'Read only: the app cannot add, change or delete anything',
        summary: 'Only requests that read',
        badge: { text: 'Read only', isWarning: false },
      },
      no: { summary: 'All' },
    },
  },
  session: {
    default: 'token',
    help: 'token: the app keeps its broker token. cookie: the broker keeps it in a cookie, for a browser app on the same site; needs --access proxy',
    title: 'Session',
    values: {
      token: { label: 'The app keeps its broker token', summary: 'Broker token' },
      cookie: {
        label: 'Cookie of this broker, for a browser app on the same site: no token in the page',
        summary: 'Cookie of this broker',
      },
    },
  },
  offline: {
    default: false,
    help: 'a confidential app that may get tokens of its users at any time, for example in a nightly job',
    negatedHelp: 'only with a user’s broker token',
    title: 'Offline access',
    hint: 'For confidential apps.',
    values: {
      yes: {
        label: 'The app may get tokens of its users at any time, also when they are not using it',
        summary: 'At any time, without its users',
        badge: { text: 'Offline', isWarning: false },
      },
      no: { summary: 'Only with a user’s broker token' },
    },
  },
  par: {
    default: 'optional',
    help: 'required: authorization requests must be pushed (RFC 9126), so that nobody can change them in the browser',
    title: 'Pushed authorization requests',
    values: {
      optional: { summary: 'Optional' },
      required: {
        label: 'Required: the app pushes its authorization requests (RFC 9126)',
        summary: 'Required',
      },
    },
  },
  trusted: {
    default: false,
    help: 'an app of your own: the broker does not ask its users for consent',
    negatedHelp: 'ask users for consent',
    title: 'Consent',
    hint: 'Only for your own apps, over https.',
    values: {
      yes: {
        label: 'Trusted: the broker does not ask users for consent',
        summary: 'Not asked: the app is trusted',
        badge: { text: 'Trusted', isWarning: false },
      },
      no: { summary: 'Asked' },
    },
  },
}

/** The table's entries, in the order in which they are shown. */
export const appOptions = Object.entries(table) as [OptionName, AppOption][]

/** An object with one field per option. */
export const mapOptions = <Value>(
  value: (name: OptionName, option: AppOption) => Value,
): Record<OptionName, Value> =>
  Object.fromEntries(appOptions.map(([name, option]) => [name, value(name, option)])) as Record<
    OptionName,
    Value
  >

export const defaultOptions = mapOptions((_name, option) => option.default) as AppOptions

/** How an option's value is written in forms and in `values`. */
export const writeOption = (value: boolean | string): string =>
  typeof value === 'string' ? value : value ? 'yes' : 'no'

/** The texts of an app's options, by option. `isDefault`: nobody chose otherwise. */
export const describeOptions = (app: App): (ValueText & { title: string; isDefault: boolean })[] =>
  appOptions.flatMap(([name, { title, values, default: usual }]) => {
    const texts = Object.entries<ValueText>(values)
    return texts
      .filter(([value]) => value === writeOption(app[name]))
      .map(([, text]) => ({ title, isDefault: app[name] === usual, ...text }))
  })
