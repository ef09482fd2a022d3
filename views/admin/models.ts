/** View models of the dashboard pages, without the shell: plain values, never database rows. */

import type { AttentionView, Badge, CountsView, MonitoringModels, UsageView } from './monitoring.ts'
import type { WebhookModels } from './webhook-models.ts'

/** What every page has in common; templates read it as `it.shell`. */
export interface Shell {
  nav: NavigationLink[]
  /** The signed-in admin. */
  email: string
  /** The admin has the role `admin`. Viewers see no forms that change anything. */
  mayChange: boolean
  /** The result of the last change, shown once. */
  notice: Notice | null
  /** The value of the field `_csrf` in every form that posts. */
  csrf: string
}

export interface NavigationLink {
  title: string
  href: string
  isCurrent: boolean
}

export interface Notice {
  tone: 'done' | 'problem'
  words: string
}

/** Asks for confirmation before a destructive action. The form posts to the URL of the page. */
interface Confirmation {
  title: string
  /** What the action does and does not do. */
  paragraphs: string[]
  /** The action, such as "Revoke key". */
  button: string
  /** Target of "Cancel", without the base path. */
  back: `/admin${string}`
}

export interface AdminModels extends MonitoringModels, WebhookModels {
  'admin/confirm': Confirmation
  /** Changes only the admin's own account, so viewers may do it. */
  'admin/confirm-own': Confirmation & { tone: 'primary' | 'danger' }
  'admin/problem': { title: string; message: string }
  'admin/users': {
    search: string
    fields: { name: string; value: string }[]
    statuses: Choice[]
    apps: Choice[]
    action: string
    columns: UserColumn[]
    rows: UserRow[]
    /** The number of matches, as a sentence. */
    count: string
    /** There are more matches than the list covers. */
    isCapped: boolean
    /** Not all names could be checked, so there may be more matches. */
    isPartial: boolean
    newer: string | null
    older: string | null
    /** Since when Ellipsis Drive has been failing; `null`: it is up. */
    outageSince: number | null
    /** No user ever connected. */
    isEmpty: boolean
    /** A search or filter is active. */
    isFiltered: boolean
  }
  'admin/user': {
    id: string
    path: `/admin${string}`
    name: string
    accountId: string | null
    badge: Badge
    note: string | null
    /** No app gets tokens until the user reconnects. */
    mustReconnect: boolean
    /** Not revoked. */
    isLive: boolean
    connectedAt: number
    lastUsedAt: number | null
    refreshedAt: number | null
    tokenExpiresAt: number | null
    isTokenExpired: boolean
    /** Use of the limits on forwarded requests, one sentence each. */
    budgets: string[]
    lastError: string | null
    retryAt: number | null
    revokedAt: number | null
    erasurePending: boolean
    personErasedAt: number | null
    apps: UserAppView[]
    events: { at: number; text: string; actor: string; address: string | null }[]
    /** URLs of the previous and next page of events. */
    newer: string | null
    older: string | null
  }
  'admin/apps': { rows: AppRow[] }
  'admin/app': Pick<AppRow, 'name' | 'kind' | 'createdAt'> & {
    counts: CountsView
    attention: AttentionView[]
    usage: UsageView
    /** Use of the limits on forwarded requests, one sentence each. */
    budgets: string[]
    path: string
    clientId: string
    redirectUris: string[]
    origins: string[]
    lifetime: string
    /** A duration, or `off`. */
    grantLifetime: string
    /** It is off, although the app's tokens are in browsers. */
    grantLifetimeAdvised: boolean
    /** Gets its access token in the URL fragment, which is less safe. */
    fragment: boolean
    /** Rules of the access policy. */
    allow: string[]
    /** Every flag and choice, from server/oauth/app-options.ts, and limits of requests. */
    settings: { title: string; summary: string; isDefault: boolean }[]
    /** The keys that it authenticates with, in readable form; `null`: none. */
    keys: string | null
    /** The newest first; `null`: it has none, being public. */
    secrets: SecretView[] | null
    /** The number of its endpoints, as text. */
    webhooks: string
    /** `null`: it has no redirect URI, so nobody could return to it. */
    connectLink: string | null
    /** URL of the OpenID Provider metadata. */
    metadata: string
    snippets: { id: string; language: string; code: string }[]
  }
  'admin/app-form': {
    title: string
    isNew: boolean
    back: string
    fields: AppFormFields
    commonOptions: OptionField[]
    advancedOptions: OptionField[]
    /** An advanced setting is not at its default. */
    isAdvancedOpen: boolean
    problems: string[]
    /** Of the redirect URIs, shown beside them. */
    uriProblems: string[]
  }
  'admin/app-rotate': {
    name: string
    path: string
    /** Identifies the newest secret when the form was shown. */
    newest: string
    isSecondLive: boolean
    overlaps: Choice[]
  }
  /** Shows a new secret, once. */
  'admin/app-secret': {
    title: string
    path: string
    clientId: string
    secret: string
    note: string | null
  }
  'admin/account': {
    email: string
    role: string
    /** `null`: no authenticator app. */
    recoveryCodesLeft: number | null
    passkeyCount: number
    /** There is a password that the admin can use. */
    isLocal: boolean
    /** The identity provider, and the account there; `null`: none is configured. */
    provider: { name: string; label: string | null; canUnlink: boolean } | null
    sessions: SessionView[]
    problem: string | null
  }
  /** Asks again for password and second factor. */
  'admin/identity': {
    /** Where the admin returns to. */
    next: string
    /** Asks for the password, and with `hasCodes` for a code. */
    hasPassword: boolean
    hasCodes: boolean
    /** Where the form of a passkey goes; `null`: the admin has none. */
    passkeyAction: string | null
    /** The identity provider that can confirm; `null`: the admin is not linked to it. */
    provider: { name: string; href: string } | null
    problem: string | null
  }
  'admin/second-factor': {
    /** Every admin of this broker needs one. */
    isRequired: boolean
    /** This admin still needs one. */
    mustSetUp: boolean
    /** `null`: none, or not confirmed yet. */
    since: number | null
    recoveryCodesLeft: number | null
    /** The secret for the authenticator app; `qr` is an SVG element. */
    proposal: { secret: string; qr: string } | null
    passkeys: { id: string; name: string; createdAt: number; lastUsedAt: number | null }[]
    /** `confirm`: changes need a recent sign-in. `none`: not at this public URL. */
    passkeySupport: 'ready' | 'confirm' | 'none'
    problem: string | null
  }
  /** Shown once. */
  'admin/recovery-codes': { codes: string[]; isNew: boolean }
  'admin/admins': {
    admins: AdminView[]
    /** Passwords are off, so admins are added at the identity provider. */
    isClosed: boolean
    /** `null`: the admin has to confirm their identity first. */
    form: { email: string; role: string; problem: string | null } | null
  }
  'admin/keys': { keys: KeyView[] }
}

interface AdminView {
  id: string
  email: string
  role: 'admin' | 'viewer'
  createdAt: number
  /** The second factor, as text; `null`: none. */
  secondFactor: string | null
  /** Has a password here. Otherwise `provider` says where the account signs in; `null`: with links. */
  hasPassword: boolean
  /** The account at the identity provider. */
  provider: { host: string; label: string } | null
  isSelf: boolean
}

interface KeyView {
  kid: string
  /** What it signs. */
  signs: string
  status: 'next' | 'active' | 'retired' | 'revoked'
  createdAt: number
  activatedAt: number | null
  endedAt: number | null
}

/** An option of a select field. */
interface Choice {
  value: string
  label: string
  selected: boolean
}

export interface AppRow {
  href: string
  name: string
  /** Public, or confidential. */
  kind: string
  badges: { text: string; isWarning: boolean }[]
  users: string
  usersHref: string
  createdAt: number
}

/** A valid secret; `expiresAt` is `null` if it does not expire. */
export interface SecretView {
  createdAt: number
  expiresAt: number | null
}

/** An app's form, as typed; lists have one entry per line. */
export interface AppFormFields {
  name: string
  redirectUris: string
  origins: string
  confidential: boolean
  lifetime: string
  /** Empty: the default for a new app, otherwise unchanged. */
  grantLifetime: string
  /** Rules of the access policy, one per line. */
  allow: string
  /** Empty: no limit. */
  requestsPerMinute: string
  requestsPerDay: string
}

/** A flag or a choice of an app: a checkbox, or radio buttons. */
export interface OptionField {
  name: string
  legend: string
  type: 'checkbox' | 'radio'
  inputs: { value: string; label: string; checked: boolean }[]
  hint: string | null
  caution: { lead: string; text: string } | null
}

/** A column of the list of users. */
export interface UserColumn {
  title: string
  /** Sorts by it; `null`: it cannot be sorted. */
  href: string | null
  sorted: 'ascending' | 'descending' | null
}

export interface UserRow {
  href: string
  /** Empty if Ellipsis Drive did not report it. */
  name: string
  id: string
  badge: Badge
  /** As many as fit into a line. */
  apps: { name: string; isExpired: boolean }[]
  /** The others; `null`: none. */
  moreApps: { count: number; names: string } | null
  connectedAt: number
  lastUsedAt: number | null
  tokenExpiresAt: number | null
  isTokenExpired: boolean
}

/** An app that a user connected, with its devices. */
export interface UserAppView {
  name: string
  /** The app's page; `null` if the app was removed. */
  href: string | null
  /** Devices that can get tokens. */
  devices: DeviceView[]
  inactiveDevices: DeviceView[]
  reconnectUrl: string | null
  revoke: string
  links: LinkView[]
}

/** A read-only URL to a part of the user's drive, without its secret. */
export interface LinkView {
  /** Empty: none. */
  label: string
  path: string
  isPrefix: boolean
  createdAt: number
  expiresAt: number
  lastUsedAt: number | null
  /** Formatted. */
  uses: string
  revoke: string
}

export interface DeviceView {
  name: string
  /** The app's own id of the user. */
  externalId: string | null
  /** Of the device's grant, as its app knows it. */
  id: string
  badge: Badge
  /** When it connected first. */
  connectedAt: number
  lastUsedAt: number | null
  /** `null`: never. */
  endsAt: number | null
  revoke: string
}

interface SessionView {
  /** The session's id in forms. */
  id: string
  device: string
  address: string
  createdAt: number
  lastSeenAt: number
  isCurrent: boolean
}
