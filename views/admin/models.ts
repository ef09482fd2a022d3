/** What each page of the dashboard is given, besides the shell: plain values, never rows. */

import type { OversightModels } from './oversight.ts'

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
  /** Further hidden fields. */
  fields?: { name: string; value: string }[]
}

export interface AdminModels extends OversightModels {
  'admin/confirm': Confirmation
  'admin/problem': { title: string; message: string }
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

export interface SessionView {
  /** What the session is called in forms. */
  id: string
  device: string
  address: string
  createdAt: number
  lastSeenAt: number
  isCurrent: boolean
}
