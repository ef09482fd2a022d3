CREATE TABLE `device_codes` (
	`device_code_hash` text PRIMARY KEY NOT NULL,
	`user_code_hash` text NOT NULL,
	`app_id` text NOT NULL,
	`scope` text NOT NULL,
	`device` text NOT NULL,
	`address` text NOT NULL,
	`status` text NOT NULL,
	`connection_id` text,
	`interval_seconds` integer NOT NULL,
	`polled_at` integer,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`used_at` integer,
	`grant_id` text,
	FOREIGN KEY (`connection_id`) REFERENCES `connections`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `device_codes_user` ON `device_codes` (`user_code_hash`);--> statement-breakpoint
CREATE INDEX `device_codes_connection` ON `device_codes` (`connection_id`,`app_id`);--> statement-breakpoint
CREATE INDEX `device_codes_expiry` ON `device_codes` (`expires_at`);--> statement-breakpoint
ALTER TABLE `apps` ADD `device` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `flows` ADD `device_code_hash` text;