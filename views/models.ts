/** View models of the pages: plain values, never database rows. Names are untrusted text. */

/** The operator of this broker; each part may be missing. */
export interface Operator {
  name: string | null
  /** An e-mail address, or the URL of a page. */
  contact: string | null
  privacyUrl: string | null
}

/** Which scopes the app asks for (server/oauth/scope.ts). */
export type GrantedScopes = Record<'openid' | 'profile' | 'projects', boolean>

/** What the access policy of the app lets it do, with the scope `projects`. */
export interface Permissions {
  canView: boolean
  canChange: boolean
  /** The app gets no access token; its requests go through the broker. */
  isProxy: boolean
  /** Only these requests are allowed; `null`: no rules limit them. */
  rules: string[] | null
}

/** The last page of an authorization. */
interface FinalPage {
  appName: string
  /** The app's URL; `null` if it has none. */
  backTo: string | null
  /** The flow continues on the waiting device. */
  onDevice: boolean
}

export interface Models {
  /** Asks for consent: may an app use the user's Ellipsis Drive? */
  consent: {
    appName: string
    scopes: GrantedScopes
    permissions: Permissions
    /** The app has access also when the user is not using it. */
    offline: boolean
    /** An admin looks at it, and its buttons do nothing; `null`: it asks a user. */
    previewNote: string | null
    /** Why the form is shown again. */
    problem: string | null
    /** Where the user returns to, in readable form; `null`: nowhere. */
    returnsTo: string | null
    /** The longest time that the app has access, such as `90 days`; `null`: no limit. */
    atMost: string | null
    /** The app gets its token in the URL fragment, which is less safe. */
    fragment: boolean
    /** The URL that the form posts to. */
    action: string
    fields: { name: string; value: string }[]
    operator: Operator
  }
  /** Shown after a connect link, or after a flow that started on another device. */
  connected: FinalPage & {
    username: string
    operator: Operator
  }
  /** Another account came back from Ellipsis Drive than the app asked for. */
  'other-account': {
    appName: string
    /** Names or ids of the two accounts. */
    expected: string
    actual: string
    /** The web app of Ellipsis Drive, where the user signs out; `null`: unknown. */
    ellipsisUrl: string | null
    action: string
    fields: { name: string; value: string }[]
  }
  /** The user denied access, and there is no app to redirect to. */
  refused: FinalPage
  /** Asks for the user code of a device. */
  device: {
    /** The prefilled code; empty if none. */
    userCode: string
    /** What is wrong with the entered code. */
    problem: string | null
    action: string
    fields: { name: string; value: string }[]
    operator: Operator
  }
  /** Asks for consent for an app on another device. */
  'device-consent': {
    appName: string
    scopes: GrantedScopes
    permissions: Permissions
    /** Why the form is shown again. */
    problem: string | null
    /** The app has access also when the user is not using it. */
    offline: boolean
    userCode: string
    /** The name that the device reported. */
    device: string
    /** The IP address that the request came from. */
    address: string
    /** How long ago, such as `3 minutes ago`. */
    requested: string
    /** The longest time that the app has access, such as `90 days`; `null`: no limit. */
    atMost: string | null
    action: string
    fields: { name: string; value: string }[]
    operator: Operator
  }
  /** An error that the user may be able to fix. */
  error: {
    message: string
    /** What is wrong with the app's request; `null`: nothing. */
    forDeveloper: string | null
    /** The redirect URI that is not registered; `null`: that is not the error. */
    redirect: {
      appName: string
      /** As the app sent it. */
      sent: string
      /** Why it can't be registered: the rest of a sentence about it. */
      problem: string | null
      /** Registers it. */
      command: string | null
    } | null
    code: string
    requestId: string
    operator: Operator
  }
  /** The page at the broker's own URL. */
  home: { operator: Operator }
  /** Where a person signs in to see their connections. */
  'me-sign-in': { notice: MyNotice | null; csrf: string; operator: Operator }
  /** What a person connected, for that person. */
  me: {
    /** The account's name; may be empty. */
    name: string
    /** Ellipsis Drive tells no account, so this is only about this browser. */
    isThisBrowser: boolean
    notice: MyNotice | null
    needsReconnect: boolean
    apps: MyApp[]
    /** Something is stored, maybe of connections that have ended. */
    hasData: boolean
    isConnected: boolean
    mayErase: boolean
    /** When the last access token that was issued expires; `null`: none is valid. */
    tokensUntil: number | null
    /** Milliseconds since the epoch. */
    now: number
    csrf: string
    operator: Operator
  }
  /** Asks before something ends. */
  'me-confirm': {
    title: string
    paragraphs: string[]
    tokensUntil: number | null
    now: number
    button: string
    action: string
    csrf: string
  }
  /** A short message. */
  notice: { title: string; message: string }
  /** Signs in once, with a link of the command line. */
  'admin/sign-in-link': { csrf: string; email: string }
  /** Creates the first admin. */
  'admin/setup': { csrf: string; email: string; problem: string | null }
  /** The second step of signing in: the second factor. */
  'admin/code': {
    csrf: string
    action: string
    next: string
    /** Where the form of a passkey goes; `null`: the admin has none. */
    passkeyAction: string | null
    /** Asks for a code. */
    hasCodes: boolean
    /** Where signing in starts over. */
    back: string
    problem: string | null
  }
  /** Signing in to the dashboard. */
  'admin/sign-in': {
    csrf: string
    action: string
    /** Where the form of a passkey goes; `null`: this public URL has none. */
    passkeyAction: string | null
    next: string
    email: string
    problem: string | null
    /** There is a form for e-mail address and password. */
    hasPasswords: boolean
    /** The identity provider, and where signing in with it begins; `null`: none. */
    provider: { name: string; href: string } | null
    /** Nobody has the role admin yet. */
    isEmpty: boolean
  }
  /** The API reference, for app developers. */
  reference: {
    version: string
    publicUrl: string
    openapiUrl: string
    groups: { name: string; about: string; operations: ReferenceOperation[] }[]
  }
}

/** What happened before this page. */
export interface MyNotice {
  text: string
  isProblem: boolean
}

/** An app that a person connected. URLs have no base path. */
interface MyApp {
  name: string
  /** It has access also when the person is not using it. */
  offline: boolean
  /** Where the person reconnects; `null`: no need, or not possible. */
  reconnect: string | null
  disconnect: string
  devices: {
    name: string
    /** It is the browser that shows the page. */
    isHere: boolean
    connectedAt: number
    /** The IP address that the person connected from; `null`: unknown. */
    address: string | null
    lastUsedAt: number | null
    /** `null`: when the person ends it. */
    endsAt: number | null
    disconnect: string
  }[]
  links: { name: string; expiresAt: number; revoke: string }[]
}

/** One endpoint of the API reference. */
export interface ReferenceOperation {
  id: string
  method: string
  path: string
  summary: string
  about: string
  parameters: ReferenceField[]
  /** `null`: the endpoint takes no body. */
  body: { type: string; fields: ReferenceField[] } | null
  answers: { status: string; about: string; type: string; fields: ReferenceField[] }[]
}

export interface ReferenceField {
  name: string
  type: string
  required: boolean
  about: string
}
