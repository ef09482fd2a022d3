CREATE TABLE `upstream_state` (
	`id` integer PRIMARY KEY NOT NULL,
	`answered_at` integer,
	`failed_at` integer,
	`failing_since` integer,
	`last_error` text
);
--> statement-breakpoint
CREATE TABLE `new_usage` (
	`app_id` text NOT NULL,
	`hour` integer NOT NULL,
	`kind` text NOT NULL,
	`outcome` text NOT NULL,
	`count` integer NOT NULL,
	PRIMARY KEY(`app_id`, `hour`, `kind`, `outcome`)
) WITHOUT ROWID;
--> statement-breakpoint
INSERT INTO `new_usage` SELECT `app_id`, `hour`, 'swap', `outcome`, `count` FROM `usage` WHERE `app_id` <> '';--> statement-breakpoint
INSERT INTO `new_usage` SELECT '', `hour`, 'swap', `outcome`, sum(`count`) FROM `usage` GROUP BY `hour`, `outcome`;--> statement-breakpoint
DROP TABLE `usage`;--> statement-breakpoint
ALTER TABLE `new_usage` RENAME TO `usage`;--> statement-breakpoint
CREATE INDEX `usage_hour` ON `usage` (`hour`);
