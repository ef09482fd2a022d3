CREATE TABLE `attempts` (
	`key` text PRIMARY KEY NOT NULL,
	`count` integer NOT NULL,
	`until` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `attempts_until` ON `attempts` (`until`);--> statement-breakpoint
CREATE TABLE `devices` (
	`secret_hash` text PRIMARY KEY NOT NULL,
	`admin_id` text NOT NULL,
	`expires_at` integer NOT NULL,
	FOREIGN KEY (`admin_id`) REFERENCES `admins`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `devices_admin` ON `devices` (`admin_id`);--> statement-breakpoint
CREATE INDEX `devices_expiry` ON `devices` (`expires_at`);--> statement-breakpoint
CREATE TABLE `setup_links` (
	`secret_hash` text PRIMARY KEY NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `admins` ADD `second_factor` integer REFERENCES sealed(id);--> statement-breakpoint
ALTER TABLE `admins` ADD `second_factor_since` integer;--> statement-breakpoint
ALTER TABLE `admins` ADD `second_factor_step` integer;--> statement-breakpoint
ALTER TABLE `admins` ADD `recovery_codes` text DEFAULT '[]' NOT NULL;--> statement-breakpoint
ALTER TABLE `sessions` ADD `complete` integer DEFAULT true NOT NULL;