ALTER TABLE `apps` ADD `grant_lifetime_seconds` integer;--> statement-breakpoint
ALTER TABLE `grants` ADD `successors_since_seconds` integer;