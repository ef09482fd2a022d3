ALTER TABLE `connections` ADD `doubt` text;--> statement-breakpoint
CREATE INDEX `connections_leased` ON `connections` (`lease_until`) WHERE "connections"."lease_owner" is not null;--> statement-breakpoint
CREATE INDEX `connections_retry` ON `connections` (`retry_at`) WHERE "connections"."retry_at" is not null and "connections"."failures" < 30 and "connections"."status" <> 'revoked';