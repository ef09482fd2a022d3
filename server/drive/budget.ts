/** Limits the requests of an app to Ellipsis Drive. */
export interface DriveBudget {
  /** @throws BrokerError `slow_down` */
  take(app: { id: string }, connectionId: string): void
}

export const unlimitedBudget: DriveBudget = { take: () => undefined }
