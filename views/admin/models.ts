/** What each page of the dashboard is given, besides the shell: plain values, never rows. */

import type { AttentionView, CountsView, OversightModels, UsageView } from './oversight.ts'

/** What every page has around it; templates find it as `it.shell`. */
export interface Shell {
  nav: NavigationLink[]
  /** Who is signed in. */
  email: string
  /** Has the role `admin`; a viewer sees no forms that change anything. */
  mayChange: boolean
  /** What the last change did, told once. */
  notice: Notice | null
  /** For the field `_csrf` of every form that posts. */
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

/** Asks before something is lost. The form posts to where the question was asked, unless told. */
export interface Confirmation {
  title: string
  /** What it does, and what it doesn't: a paragraph each. */
  words: string[]
  /** What the button says: the deed itself, such as "Revoke this key". */
  button: string
  /** Where "Cancel" leads, without the base path. */
  back: `/admin${string}`
}

export interface AdminModels extends OversightModels {
  'admin/confirm': Confirmation
  'admin/problem': { title: string; message: string }
  'admin/users': {
    search: string
    fields: { name: string; value: string }[]
    statuses: Choice[]
    apps: Choice[]
    action: string
    columns: SortableColumn[]
    rows: UserRow[]
    /** How many match, in words. */
    count: string
    crowded: boolean
    /** There may be more: not all names could be tried. */
    partial: boolean
    newer: string | null
    older: string | null
    /** Since when Ellipsis Drive doesn't answer; `null`: it does. */
    awaySince: number | null
    /** Nobody ever connected. */
    isEmpty: boolean
    /** A search or a filter leaves some out. */
    narrowed: boolean
  }
  'admin/user': {
    id: string
    path: `/admin${string}`
    name: string
    accountId: string | null
    badge: Badge
    note: string | null
    /** Not revoked. */
    live: boolean
    connectedAt: number
    lastUsedAt: number | null
    refreshedAt: number | null
    tokenUntil: number | null
    tokenEnded: boolean
    lastError: string | null
    retryAt: number | null
    revokedAt: number | null
    erasurePending: boolean
    personErasedAt: number | null
    apps: UserAppView[]
    events: { at: number; words: string; who: string; address: string | null }[]
    /** Addresses of the pages of events beside this one. */
    newer: string | null
    older: string | null
  }
  'admin/apps': { rows: AppRow[] }
  'admin/app': Pick<AppRow, 'name' | 'kind' | 'createdAt'> & {
    counts: CountsView
    attention: AttentionView[]
    usage: UsageView
    path: string
    clientId: string
    redirectUris: string[]
    origins: string[]
    lifetime: string
    /** Gets its access token in the URL fragment, which is less safe. */
    fragment: boolean
    /** Every flag and choice, from server/oauth/app-options.ts. */
    options: { title: string; summary: string }[]
    /** The newest first; `null`: it has none, being public. */
    secrets: SecretView[] | null
    /** `null`: it has no redirect URI, so nobody could return to it. */
    connectLink: string | null
    snippets: { id: string; language: string; code: string }[]
  }
  'admin/app-form': {
    title: string
    isNew: boolean
    back: string
    fields: AppFormFields
    options: OptionField[]
    problems: string[]
    /** Of the redirect URIs, shown beside them. */
    uriProblems: string[]
  }
  'admin/app-rotate': {
    name: string
    path: string
    /** Which secret the form knows as the newest. */
    newest: string
    isSecondLive: boolean
    overlaps: Choice[]
  }
  /** The one time that a secret is shown. */
  'admin/app-secret': {
    title: string
    path: string
    clientId: string
    secret: string
    words: string | null
  }
  'admin/account': {
    email: string
    role: string
    /** `null`: there is no second factor. */
    recoveryCodesLeft: number | null
    sessions: SessionView[]
    problem: string | null
  }
  'admin/second-factor': {
    /** `null`: there is none, or it isn't confirmed. */
    since: number | null
    recoveryCodesLeft: number | null
    /** What an authenticator app is to be told; `qr`: an SVG element. */
    proposal: { secret: string; qr: string } | null
    problem: string | null
  }
  /** Shown once. */
  'admin/recovery-codes': { codes: string[]; isNew: boolean }
  'admin/admins': {
    admins: AdminView[]
    form: { email: string; role: string; problem: string | null }
  }
  'admin/keys': { keys: KeyView[] }
}

export interface AdminView {
  id: string
  email: string
  role: 'admin' | 'viewer'
  createdAt: number
  hasSecondFactor: boolean
  isSelf: boolean
}

export interface KeyView {
  kid: string
  status: 'next' | 'active' | 'retired' | 'revoked'
  createdAt: number
  activatedAt: number | null
  endedAt: number | null
}

/** A status: a word, never a colour alone. */
export interface Badge {
  tone: 'good' | 'warn' | 'bad' | 'quiet'
  words: string
}

/** Something to choose in a form. */
export interface Choice {
  value: string
  words: string
  selected: boolean
}

export interface AppRow {
  href: string
  name: string
  /** Public, or confidential. */
  kind: string
  badges: { text: string; isWarning: boolean }[]
  users: number
  usersHref: string
  createdAt: number
}

/** A secret that is accepted; `expiresAt` `null`: until it is ended. */
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

/** A column whose heading sorts. */
export interface SortableColumn {
  title: string
  href: string
  sorted: 'ascending' | 'descending' | null
}

export interface UserRow {
  href: string
  /** Empty: Ellipsis Drive didn't tell. */
  name: string
  id: string
  badge: Badge
  apps: { name: string; ended: boolean }[]
  connectedAt: number
  lastUsedAt: number | null
  tokenUntil: number | null
  tokenEnded: boolean
}

/** What one app has of one user. */
export interface UserAppView {
  name: string
  /** Its page; `null`: it was removed. */
  href: string | null
  devices: DeviceView[]
  former: DeviceView[]
  reconnectUrl: string | null
  revoke: string
}

export interface DeviceView {
  name: string
  badge: Badge
  beganAt: number
  lastUsedAt: number | null
  endsAt: number
  revoke: string
}

export interface SessionView {
  /** What the session is called in forms. */
  id: string
  device: string
  address: string
  createdAt: number
  lastSeenAt: number
  isCurrent: boolean
}
