CREATE TABLE `admins` (
	`id` text PRIMARY KEY NOT NULL,
	`email` text NOT NULL,
	`password_hash` text NOT NULL,
	`role` text NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `admins_email_unique` ON `admins` (`email`);--> statement-breakpoint
CREATE TABLE `apps` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`confidential` integer NOT NULL,
	`secrets` text NOT NULL,
	`redirect_uris` text NOT NULL,
	`origins` text NOT NULL,
	`trusted` integer NOT NULL,
	`token_lifetime_seconds` integer NOT NULL,
	`deliver` text NOT NULL,
	`tokens` text NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `codes` (
	`code_hash` text PRIMARY KEY NOT NULL,
	`app_id` text NOT NULL,
	`redirect_uri` text NOT NULL,
	`challenge` text NOT NULL,
	`connection_id` text NOT NULL,
	`scope` text NOT NULL,
	`device` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`used_at` integer,
	`grant_id` text,
	FOREIGN KEY (`connection_id`) REFERENCES `connections`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `codes_connection` ON `codes` (`connection_id`,`app_id`);--> statement-breakpoint
CREATE INDEX `codes_expiry` ON `codes` (`used_at`,`expires_at`);--> statement-breakpoint
CREATE TABLE `connections` (
	`id` text PRIMARY KEY NOT NULL,
	`account_id` text,
	`username` text NOT NULL,
	`status` text NOT NULL,
	`generation` integer NOT NULL,
	`refresh_token` integer,
	`previous_refresh_token` integer,
	`access_token` integer,
	`access_token_expires_at` integer,
	`access_token_fetched_at` integer,
	`lease_owner` text,
	`lease_until` integer,
	`failures` integer NOT NULL,
	`last_error` text,
	`retry_at` integer,
	`connected_at` integer NOT NULL,
	`refreshed_at` integer,
	`revoked_at` integer,
	`erased_at` integer,
	FOREIGN KEY (`refresh_token`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`previous_refresh_token`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`access_token`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `connections_account` ON `connections` (`account_id`) WHERE "connections"."status" <> 'revoked';--> statement-breakpoint
CREATE INDEX `connections_status` ON `connections` (`status`,`id`);--> statement-breakpoint
CREATE INDEX `connections_revoked` ON `connections` (`revoked_at`) WHERE "connections"."revoked_at" is not null;--> statement-breakpoint
CREATE INDEX `connections_erasing` ON `connections` (`id`) WHERE "connections"."revoked_at" is not null and "connections"."erased_at" is null;--> statement-breakpoint
CREATE TABLE `events` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`actor` text NOT NULL,
	`action` text NOT NULL,
	`connection_id` text,
	`app_id` text,
	`grant_id` text,
	`address` text,
	`details` text
);
--> statement-breakpoint
CREATE INDEX `events_connection` ON `events` (`connection_id`);--> statement-breakpoint
CREATE INDEX `events_app` ON `events` (`app_id`);--> statement-breakpoint
CREATE INDEX `events_at` ON `events` (`at`);--> statement-breakpoint
CREATE TABLE `flows` (
	`state_hash` text PRIMARY KEY NOT NULL,
	`browser_hash` text NOT NULL,
	`verifier` integer NOT NULL,
	`app_id` text NOT NULL,
	`redirect_uri` text NOT NULL,
	`app_state` text,
	`challenge` text,
	`scope` text NOT NULL,
	`reconnect` text,
	`device` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	FOREIGN KEY (`verifier`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `flows_expiry` ON `flows` (`expires_at`);--> statement-breakpoint
CREATE TABLE `grants` (
	`id` text PRIMARY KEY NOT NULL,
	`app_id` text NOT NULL,
	`connection_id` text NOT NULL,
	`scope` text NOT NULL,
	`jti` text NOT NULL,
	`issued_at_seconds` integer NOT NULL,
	`expires_at_seconds` integer NOT NULL,
	`jti_used_at` integer,
	`previous_jti` text,
	`device` text NOT NULL,
	`created_at` integer NOT NULL,
	`last_used_at` integer,
	`revoked_at` integer,
	FOREIGN KEY (`connection_id`) REFERENCES `connections`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `grants_connection` ON `grants` (`connection_id`,`app_id`);--> statement-breakpoint
CREATE INDEX `grants_app` ON `grants` (`app_id`,`id`);--> statement-breakpoint
CREATE INDEX `grants_expiry` ON `grants` (`expires_at_seconds`);--> statement-breakpoint
CREATE INDEX `grants_revoked` ON `grants` (`revoked_at`) WHERE "grants"."revoked_at" is not null;--> statement-breakpoint
CREATE TABLE `meta` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `sealed` (
	`id` integer PRIMARY KEY NOT NULL,
	`size` integer NOT NULL,
	`free` integer NOT NULL,
	`bytes` blob NOT NULL
);
--> statement-breakpoint
CREATE INDEX `sealed_free` ON `sealed` (`size`) WHERE "sealed"."free" = 1;--> statement-breakpoint
CREATE TABLE `sessions` (
	`id_hash` text PRIMARY KEY NOT NULL,
	`admin_id` text NOT NULL,
	`created_at` integer NOT NULL,
	`last_seen_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`address` text,
	`user_agent` text,
	FOREIGN KEY (`admin_id`) REFERENCES `admins`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `sessions_admin` ON `sessions` (`admin_id`);--> statement-breakpoint
CREATE INDEX `sessions_expiry` ON `sessions` (`expires_at`);--> statement-breakpoint
CREATE TABLE `signing_keys` (
	`kid` text PRIMARY KEY NOT NULL,
	`public_jwk` text NOT NULL,
	`private_key` integer NOT NULL,
	`status` text NOT NULL,
	`created_at` integer NOT NULL,
	`ended_at` integer,
	`erased_at` integer,
	FOREIGN KEY (`private_key`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `usage` (
	`app_id` text NOT NULL,
	`hour` integer NOT NULL,
	`outcome` text NOT NULL,
	`count` integer NOT NULL,
	PRIMARY KEY(`hour`, `app_id`, `outcome`)
);
