/** What each template is given as `it`. A test holds all templates to this: test/views/templates.test.ts. */

import type { AdminModels, DeviceView, Shell } from './admin/models.ts'
import type { AttentionView, CountsView, UsageView } from './admin/oversight.ts'
import type { Models, Operator, ReferenceField } from './models.ts'

/** What every page and layout can call. */
export interface Helpers {
  /** The address of a file under views/assets. */
  asset(name: string): string
  /** An address of the broker's own, with its base path. */
  url(path: string): string
  /** Markup of a time, to be put in by `<%~`; `null`: what `never` says. */
  time(milliseconds: number | null, never?: string): string
}

/** What pages are put into; `body` is the page. */
interface Layouts {
  layout: { title: string; operator?: Operator; body: string }
  'admin/layout': { title: string; shell: Shell; body: string }
}

/** Parts of pages. The including template passes on the helpers that they call. */
interface Partials {
  operator: Operator
  'reference-text': { text: string }
  'reference-fields': { caption: string; fields: ReferenceField[] }
  'admin/attention': { attention: AttentionView[] } & Pick<Helpers, 'time' | 'url'>
  'admin/counts': CountsView
  'admin/devices': {
    title: string
    hasActions: boolean
    devices: DeviceView[]
    shell: Pick<Shell, 'mayChange'>
  } & Pick<Helpers, 'time' | 'url'>
  'admin/pages': { newer: string | null; older: string | null }
  'admin/password-field': { id: string; csrf: string }
  'admin/usage': UsageView & Pick<Helpers, 'time'>
}

/** Each template's `it`, by its path from views/. */
export type Templates = Partials & {
  [Name in keyof Layouts]: Layouts[Name] & Helpers
} & {
  [Name in keyof Models]: Models[Name] & Helpers
} & {
  [Name in keyof AdminModels]: AdminModels[Name] & { shell: Shell } & Helpers
}
