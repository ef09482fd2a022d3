/*
 * The refresh of one connection by two brokers that share a store, for the model checker SPIN.
 * `protocol.test.ts` checks it exhaustively, and with faults, which it must find.
 *
 * A tick is ten seconds. Only durations matter, so lease and calls count down, and nothing depends on when the
 * model began. Each step is one transaction of the store, one call, or local work:
 *
 *   takeLease      server/refresh/lease.ts `acquire`, db/sql/refresh.ts `takeLease`
 *   checkLease     server/refresh/lease.ts `assertOutlastsCall`
 *   send, answer   server/refresh/refresh-attempt.ts `callUpstream`
 *   saveTokens     server/refresh/refresh-outcome.ts `saveTokens`, db/sql/refresh.ts `saveTokens`
 *   saveFailure    the same, `saveFailure`
 *   revoke         db/sql/revoke.ts `revokeConnection`
 *   reconnect      server/connections/store-connection.ts, db/sql/connections.ts `saveConnection`
 *
 * Left out, because they only delay calls: backoff, the circuit breaker, the pace of offline refreshes, the
 * second attempt with a previous token.
 *
 * Set by the test: ROTATION (NEVER, GRACE or ALWAYS); EXPIRIES, CRASHES, PAUSES, LOSSES, how often each may
 * happen; and at most one FAULT_….
 *
 * On SQLite a lease ends after a time. With SILENCE it is that of PostgreSQL: it ends when the other broker has seen
 * no heartbeat of its owner for DEAD_AFTER (db/postgres/coordination.ts); CUTS, how often one may be cut off. Its
 * heartbeats fail then, and its transactions may or may not.
 */

#define NEVER 0
#define GRACE 1
#define ALWAYS 2

#ifdef FAULT_LEASE_LENGTH
#define LEASE 2       /* ends while a call may still be running */
#define LONGEST_CALL 3
#else
#define LEASE 3       /* db/data-directory/coordination.ts LEASE_MS */
#define LONGEST_CALL 2 /* CALL_TIMEOUT_MS */
#endif
#define CALL_TIMEOUT 2
#define GRACE_TICKS 1

#ifdef SILENCE
#ifdef FAULT_SHORT_SILENCE
#define DEAD_AFTER 2 /* ends while a call may still be running */
#else
#define DEAD_AFTER 4 /* DEAD_AFTER_MS */
#endif
#define HOLD 3       /* holdMs */
#else
#define CUTS 0
#define HOLD LEASE
#endif

#ifdef FAULT_HOST_CLOCKS
/* Leases by the hosts' own clocks: the second host's is two ticks ahead. */
#define LEFT_FOR(broker) (leaseLeft > 2 * broker -> leaseLeft - 2 * broker : 0)
#else
/* By the clock of the database (SQLite: of the machine). */
#define LEFT_FOR(broker) leaseLeft
#endif

#define NONE 255
#define LAST_TOKEN 15

mtype = { isActive, needsReconnect, isRevoked };
mtype = { idle, sent, answered, refused, lost };

/* The row: db/model.ts `Connection`. */
mtype status = isActive;
byte generation = 0;
byte token = 0;
byte leaseOwner = NONE;
byte leaseLeft = 0;
bool ownerDied = false;
/* Is the access token fresh? Otherwise somebody wants a refresh. */
bool fresh = false;

/* Ellipsis Drive: two grants, as a reconnect begins another one. */
byte issued = 1;
byte newest[2];
byte previous[2] = NONE;
byte graceLeft[2];
byte grantOf[LAST_TOKEN + 1];

/* Each broker's process. */
bool paused[2];
bool wasPaused[2]; /* in this attempt */
/*
 * A token that is out of date may be sent only if the process was paused since it checked its lease, or another
 * one, which had been paused, stored its late answer since the row was read under the lease.
 */
bool pausedSinceCheck[2];
bool storedLate[2];
bool isHurrying[2];
byte ownLeaseLeft[2];
/* Is its network to the database down? Its heartbeats are missing for that many ticks. */
bool cut[2];
byte silence[2];
bool wasSilent[2]; /* in this attempt, for DEAD_AFTER */

/* Each broker's call. */
mtype call[2] = idle;
byte callLeft[2];
byte sentToken[2];
byte gotToken[2];
/* The request of a process that has died; it may still arrive. */
byte orphan[2] = NONE;

/* What has happened, for the checks and the bounds. */
byte expiries = 0;
byte crashes = 0;
byte pauses = 0;
byte losses = 0;
byte cuts = 0;

/* The brokers are the processes 0 and 1. */
#define me _pid
#define grant(t) grantOf[t]
/* The first: DEAD_OWNER_LEASE_MS has passed. */
#ifdef SILENCE
#define isOrphaned (leaseLeft < LEASE && (ownerDied || leaseOwner == me || silence[leaseOwner] == DEAD_AFTER))
#define hasEnded false
#else
#define isOrphaned (leaseLeft < LEASE && ownerDied)
#define hasEnded (LEFT_FOR(me) == 0)
#endif
#ifdef FAULT_HOLD_FROM_LEASE
/* Without regard to how long its last heartbeat is past. */
#define holdLeft HOLD
#else
#define holdLeft (silence[me] < HOLD -> HOLD - silence[me] : 0)
#endif
#define isHonoured(t) (ROTATION == NEVER || t == newest[grant(t)] || \
  (ROTATION == GRACE && t == previous[grant(t)] && graceLeft[grant(t)] > 0))

#define isExcused(b) (pausedSinceCheck[b] || storedLate[b])

inline issue(g, result) {
  assert(issued <= LAST_TOKEN);
  result = issued;
  grantOf[issued] = g;
  previous[g] = newest[g];
  newest[g] = issued;
  graceLeft[g] = GRACE_TICKS;
  issued++
}

inline freeLease() {
  leaseOwner = NONE;
  leaseLeft = 0;
  ownerDied = false
}

inline store(t) {
  assert(status != isRevoked);
  token = t;
  generation++;
  freeLease();
  status = isActive;
  fresh = true
}

/* The process is killed here, and starts again. */
inline mayDie() {
  if
  :: atomic {
      crashes < CRASHES ->
      crashes++;
      isHurrying[me] = false;
      if
      :: call[me] == sent -> orphan[me] = sentToken[me]
      :: else -> skip
      fi;
      call[me] = idle;
      ownerDied = ownerDied || leaseOwner == me;
      goto want
    }
  :: skip
  fi
}

active [2] proctype Broker() provided (!paused[_pid]) {
  byte readGeneration;
  byte used;
  bool isTakenOver;

want:
  skip;
  /* Forgets what no later step reads, so that the checker meets fewer states. */
  d_step {
    isHurrying[me] = false;
    pausedSinceCheck[me] = false;
    storedLate[me] = false;
    wasPaused[me] = paused[me];
    wasSilent[me] = false;
    ownLeaseLeft[me] = 0;
    callLeft[me] = 0;
    sentToken[me] = 0;
    gotToken[me] = 0;
    used = 0;
    readGeneration = 0;
    isTakenOver = false
  };
end_wait:
  /* Somebody wants an access token. A revoked connection needs none, one to reconnect waits for its user. */
  atomic { status == isActive && !fresh -> readGeneration = generation; wasPaused[me] = paused[me] };

takeLease:
  atomic {
    if
    :: status == isRevoked || generation != readGeneration -> goto want
    :: else -> skip
    fi;
#ifndef FAULT_NO_LEASE
    if
    :: leaseOwner != NONE && !hasEnded && !isOrphaned -> goto want
    :: else -> skip
    fi;
#endif
    isTakenOver = leaseOwner != NONE && !isOrphaned;
    leaseOwner = me;
    leaseLeft = LEASE;
    ownLeaseLeft[me] = holdLeft;
    ownerDied = false;
    /* No tick from here to the call, unless the process is paused. */
    isHurrying[me] = true
  };
  mayDie();
  /* Reads the row again, under the lease. */
  atomic {
    if
    :: leaseOwner != me || status == isRevoked -> goto want
    :: else -> readGeneration = generation; used = token; storedLate[me] = false
    fi
  };
  if
  :: isTakenOver ->
    /* FORMER_OWNER_GRACE_MS: a former owner that runs has stored its answer by now. Then extends the lease. */
    atomic {
      paused[1 - me] || (call[1 - me] != answered && !(call[1 - me] == sent && callLeft[1 - me] == 0));
      if
      :: leaseOwner != me -> goto want
      :: else -> leaseLeft = LEASE; ownLeaseLeft[me] = holdLeft
      fi
    }
  :: else
  fi;

checkLease:
  atomic {
#ifndef FAULT_NO_CHECK
    if
    :: ownLeaseLeft[me] < CALL_TIMEOUT -> goto want
    :: else -> skip
    fi;
#endif
    pausedSinceCheck[me] = false
  };
  mayDie();

send:
  atomic {
    /* The disk has no newer token of this grant. */
    assert(used == token || grant(used) != grant(token) || status == isRevoked || isExcused(me));
    /* Nobody else sends one at the same time. */
    assert(call[1 - me] != sent || grant(sentToken[1 - me]) != grant(used) ||
      isExcused(0) || isExcused(1));
    isHurrying[me] = false;
    sentToken[me] = used;
    callLeft[me] = LONGEST_CALL;
    call[me] = sent
  };
  mayDie();

answer:
  if
  :: call[me] == answered
  :: call[me] == refused -> goto saveFailure
  :: call[me] == lost -> goto release
  fi;
  mayDie();

saveTokens:
  atomic {
    call[me] = idle;
    if
#ifdef FAULT_NO_GENERATION
    :: status == isRevoked -> skip
#else
    :: generation != readGeneration || status == isRevoked -> skip
#endif
    :: else ->
      /* No token that Ellipsis Drive accepts is lost: only a successor replaces it, which it accepts as well. */
      assert(!isHonoured(token) || (isHonoured(gotToken[me]) && grant(gotToken[me]) == grant(token)));
      store(gotToken[me]);
      storedLate[1 - me] = storedLate[1 - me] || wasPaused[me] || wasSilent[me]
    fi;
    goto want
  };

saveFailure:
  atomic {
    call[me] = idle;
    if
    :: generation == readGeneration && status != isRevoked && (leaseOwner == NONE || leaseOwner == me) ->
      /* Only what Ellipsis Drive no longer accepts is marked. */
      assert(!isHonoured(token));
      status = needsReconnect;
      freeLease()
    :: else -> skip
    fi;
    goto want
  };

release:
  atomic {
    call[me] = idle;
    if
    :: leaseOwner == me -> freeLease()
    :: else -> skip
    fi;
    goto want
  }
}

/* Ellipsis Drive processes a request, within the longest time that a call takes. */
inline process(caller) {
  if
  :: call[caller] == sent && !isHonoured(sentToken[caller]) -> call[caller] = refused
  :: call[caller] == sent && isHonoured(sentToken[caller]) ->
    if
    :: ROTATION == NEVER -> gotToken[caller] = sentToken[caller]
    :: else -> issue(grant(sentToken[caller]), gotToken[caller])
    fi;
    if
    :: losses < LOSSES -> losses++; call[caller] = lost
    :: call[caller] = answered
    fi
  :: call[caller] == sent && losses < LOSSES -> losses++; call[caller] = lost
  :: orphan[caller] != NONE ->
    if
    :: ROTATION != NEVER && isHonoured(orphan[caller]) -> issue(grant(orphan[caller]), unused)
    :: else -> skip
    fi;
    orphan[caller] = NONE
  fi
}

active proctype Upstream() {
  byte unused;
end_wait:
  do
  :: atomic { call[0] == sent || orphan[0] != NONE -> process(0) }
  :: atomic { call[1] == sent || orphan[1] != NONE -> process(1) }
  od
}

/*
 * Time passes. A process that runs does not wait between its check and its call. Nor before it stores a result,
 * unless it is cut off.
 */
#define mayTick(b) (paused[b] || (!isHurrying[b] && (call[b] == idle || call[b] == sent || cut[b]))) && \
  !(call[b] == sent && callLeft[b] == 0)
#define countDown(left) if :: left > 0 -> left-- :: else -> skip fi

inline heartbeat(b) {
#ifdef SILENCE
  if
  :: !paused[b] && !cut[b] -> silence[b] = 0
  :: (paused[b] || cut[b]) && silence[b] < DEAD_AFTER -> silence[b]++
  :: else -> skip
  fi;
  wasSilent[b] = wasSilent[b] || silence[b] == DEAD_AFTER
#else
  skip
#endif
}

active proctype Clock() {
end_wait:
  do
  :: d_step {
      mayTick(0) && mayTick(1) ->
      countDown(leaseLeft);
      heartbeat(0);
      heartbeat(1);
      countDown(ownLeaseLeft[0]);
      countDown(ownLeaseLeft[1]);
      countDown(callLeft[0]);
      countDown(callLeft[1]);
      countDown(graceLeft[0]);
      countDown(graceLeft[1])
    }
  od
}

/* The access token expires, and somebody wants another one. */
active proctype Expiry() {
end_wait:
  do
  :: atomic { fresh && expiries < EXPIRIES -> expiries++; fresh = false }
  od
}

/* A process stands still for any time, such as a laptop that sleeps, or a machine that is migrated. */
active proctype Pauser() {
  byte victim;
end_wait:
  do
  :: atomic {
      pauses < PAUSES && !paused[0] && !paused[1] ->
      pauses++;
      if
      :: victim = 0
      :: victim = 1
      fi;
      paused[victim] = true;
      wasPaused[victim] = true;
      pausedSinceCheck[victim] = true
    }
  :: atomic { paused[0] || paused[1] -> paused[0] = false; paused[1] = false }
  od
}

/* The network between one of them and the database fails for any time. */
active proctype Cutter() {
  byte victim;
end_wait:
  do
  :: atomic {
      cuts < CUTS && !cut[0] && !cut[1] ->
      cuts++;
      if
      :: victim = 0
      :: victim = 1
      fi;
      cut[victim] = true
    }
  :: atomic { cut[0] || cut[1] -> cut[0] = false; cut[1] = false }
  od
}

/* An admin revokes the connection, or does not. */
active proctype Admin() {
  if
  :: atomic { status = isRevoked; generation++; freeLease() }
  :: skip
  fi
}

/* The user connects again, or does not. */
active proctype User() {
  byte new;
  if
  :: atomic {
      if
      :: status == isRevoked -> skip /* that makes another connection */
      :: else -> issue(1, new); store(new)
      fi
    }
  :: skip
  fi
}

/* Every connection is eventually refreshed, marked, or revoked. */
ltl settles { []<> (fresh || status != isActive) }
