CREATE TABLE `bulk_items` (
	`bulk_id` integer NOT NULL,
	`connection_id` text NOT NULL,
	`error` text,
	PRIMARY KEY(`bulk_id`, `connection_id`),
	FOREIGN KEY (`bulk_id`) REFERENCES `bulks`(`id`) ON UPDATE no action ON DELETE no action
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `bulks` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`status` text NOT NULL,
	`filter` text,
	`actor` text NOT NULL,
	`address` text,
	`created_at` integer NOT NULL,
	`started_at` integer,
	`ended_at` integer,
	`total` integer NOT NULL,
	`revoked` integer NOT NULL,
	`skipped` integer NOT NULL,
	`failed` integer NOT NULL,
	`cursor` text,
	`trouble` text,
	`lease_owner` text,
	`lease_until` integer
);
--> statement-breakpoint
CREATE INDEX `bulks_work` ON `bulks` (`id`) WHERE "bulks"."status" in ('collecting', 'running');--> statement-breakpoint
DROP INDEX `events_connection`;--> statement-breakpoint
DROP INDEX `events_app`;--> statement-breakpoint
CREATE INDEX `events_actor` ON `events` (`actor`,`at`) WHERE "events"."actor" not in ('user', 'app', 'system');--> statement-breakpoint
CREATE INDEX `events_action` ON `events` (`action`,`at`) WHERE "events"."action" not in ('connection.connected', 'connection.revoked', 'grant.begun');--> statement-breakpoint
CREATE INDEX `events_connection` ON `events` (`connection_id`,`at`);--> statement-breakpoint
CREATE INDEX `events_app` ON `events` (`app_id`,`at`);