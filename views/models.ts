/** What each page is given: plain values, never rows. Names come from elsewhere and may hold anything. */

/** Who runs this broker; each part may be missing. */
export interface Operator {
  name: string | null
  /** An e-mail address, or the URL of a page. */
  contact: string | null
  privacyUrl: string | null
}

/** Where a visit to the broker ends. */
interface CommandError {
  appName: string
  /** The app's address; `null`: it has none. */
  backTo: string | null
  /** It goes on at the device that waits. */
  onDevice: boolean
}

export interface Models {
  /** Asks whether an app may use the visitor's Ellipsis Drive. */
  ask: {
    appName: string
    /** Where the visitor returns to, as people read it; `null`: nowhere. */
    returnsTo: string | null
    /** The app gets its token in the address: the less safe way. */
    fragment: boolean
    /** Where the form is posted. */
    action: string
    fields: { name: string; value: string }[]
    operator: Operator
  }
  /** The end of a plain connect link, or of what began on another device. */
  connected: CommandError & {
    username: string
    /** The link was to renew another connection than this one. */
    isAnother: boolean
    operator: Operator
  }
  /** The visitor said no where no app is to be told by a redirect. */
  refused: CommandError
  /** Asks for the code that a device shows. */
  device: {
    /** Filled in; empty: not yet. */
    userCode: string
    /** What is wrong with the code that was typed. */
    problem: string | null
    action: string
    fields: { name: string; value: string }[]
    operator: Operator
  }
  /** Asks whether an app on another device may use the visitor's Ellipsis Drive. */
  'device-ask': {
    appName: string
    userCode: string
    /** What the device calls itself. */
    device: string
    /** Where it asked from, and how long ago. */
    address: string
    minutesAgo: number
    action: string
    fields: { name: string; value: string }[]
    operator: Operator
  }
  /** Something went wrong, and the visitor may do something about it. */
  error: { message: string; code: string; requestId: string; operator: Operator }
  /** Anything else, in a sentence. */
  notice: { title: string; message: string }
  /** Makes the first admin. */
  'admin/setup': { csrf: string; email: string; problem: string | null }
  /** The second step of signing in. */
  'admin/code': {
    csrf: string
    action: string
    next: string
    /** Where one begins anew. */
    back: string
    problem: string | null
  }
  /** Signing in to the dashboard. */
  'admin/sign-in': {
    csrf: string
    action: string
    next: string
    email: string
    problem: string | null
    /** Nobody could sign in: the first admin is still to be made. */
    isEmpty: boolean
  }
  /** The API, for people who write apps. */
  reference: {
    version: string
    publicUrl: string
    openapiUrl: string
    groups: { name: string; about: string; operations: ReferenceOperation[] }[]
  }
}

/** One endpoint of the reference. */
export interface ReferenceOperation {
  id: string
  method: string
  path: string
  summary: string
  about: string
  parameters: ReferenceField[]
  /** `null`: it takes no body. */
  body: { type: string; fields: ReferenceField[] } | null
  answers: { status: string; about: string; type: string; fields: ReferenceField[] }[]
}

export interface ReferenceField {
  name: string
  type: string
  required: boolean
  about: string
}
