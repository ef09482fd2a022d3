/** View models of webhooks: endpoints and their deliveries. */

import type { Badge } from './monitoring.ts'

export interface WebhookModels {
  'admin/webhooks': { rows: WebhookRow[]; addHref: string }
  'admin/webhook': {
    path: `/admin${string}`
    /** The URL, or the path of the program. */
    endpoint: string
    badge: Badge
    /** Why it is disabled; `null`: it is enabled. */
    problem: string | null
    isEnabled: boolean
    id: string
    app: WebhookAppView | null
    /** Empty: all. */
    types: string[]
    /** `null`: it is the program of BROKER_ON_EVENT, which has no settings here. */
    signing: string | null
    /** `null`: it has a shared secret, which is shown only once. */
    publicKey: string | null
    /** Until then the previous key signs too; `null`: no key was rotated lately. */
    previousUntil: number | null
    /** `null`: it is a program. */
    createdAt: number | null
    deliveries: DeliveryView[]
    /** The chosen status of deliveries. */
    statuses: { label: string; href: string; isCurrent: boolean }[]
    newer: string | null
    older: string | null
    /** Fields of the form that sends a time range again, as typed. */
    range: { from: string; to: string }
  }
  'admin/webhook-form': {
    /** The URL as typed. */
    address: string
    apps: { value: string; label: string; selected: boolean }[]
    types: { value: string; about: string; checked: boolean }[]
    signings: { value: string; label: string; checked: boolean }[]
    problem: string | null
  }
  /** Shows a new secret or public key. */
  'admin/webhook-secret': {
    title: string
    path: `/admin${string}`
    endpoint: string
    /** `false`: a public key, which the endpoint's page shows too. */
    isSecret: boolean
    key: string
    note: string | null
  }
}

interface WebhookAppView {
  name: string
  /** `null`: the app was removed. */
  href: `/admin${string}` | null
}

interface WebhookRow {
  href: `/admin${string}`
  endpoint: string
  /** The name of its app; `null`: events of the whole broker. */
  app: string | null
  events: string
  badge: Badge
  /** `null`: it is a program. */
  createdAt: number | null
}

interface DeliveryView {
  id: string
  type: string
  badge: Badge
  createdAt: number
  attempts: string
  /** The HTTP status of the last answer, or what went wrong. */
  answer: string
  /** `null`: `next` says why. */
  nextAt: number | null
  next: string
  /** `null`: it is pending. */
  replay: `/admin${string}` | null
}
