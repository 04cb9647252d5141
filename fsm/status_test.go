package fsm_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// A Status reads well, as a line, as JSON and in a log. It omits empty fields.
func TestStatusPrints(t *testing.T) {
	since := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		status     fsm.Status
		line, json string
	}{
		{fsm.Status{Since: since},
			"Idle since 2026-11-25T12:00:00Z, attempt 0",
			`{"state":"Idle","attempt":0,"since":"2026-11-25T12:00:00Z","waiters":0,"inFlight":0}`},
		{fsm.Status{State: fsm.Started, Attempt: 1, Since: since, Held: []string{"a"}},
			"Started since 2026-11-25T12:00:00Z, attempt 1; held: a",
			`{"state":"Started","attempt":1,"since":"2026-11-25T12:00:00Z","waiters":0,"inFlight":0,"held":["a"]}`},
		{fsm.Status{State: fsm.Starting, Attempt: 2, Since: since, Waiters: 1, Held: []string{"a"}, Acquiring: "b"},
			"Starting since 2026-11-25T12:00:00Z, attempt 2; held: a; acquiring: b; waiting: 1",
			`{"state":"Starting","attempt":2,"since":"2026-11-25T12:00:00Z","waiters":1,"inFlight":0,"acquiring":"b","held":["a"]}`},
		{fsm.Status{State: fsm.Stopping, Attempt: 3, Since: since, Waiters: 1, InFlight: 1, Held: []string{"a", "b"}, Releasing: "b", Cause: errBoom},
			"Stopping since 2026-11-25T12:00:00Z, attempt 3; held: a, b; releasing: b; in flight: 1; waiting: 1; cause: boom",
			`{"state":"Stopping","attempt":3,"since":"2026-11-25T12:00:00Z","waiters":1,"inFlight":1,"held":["a","b"],"releasing":"b","cause":"boom"}`},
		{fsm.Status{Since: since, RestartAt: since.Add(time.Minute), Undelivered: 4},
			"Idle since 2026-11-25T12:00:00Z, attempt 0; starts again at 2026-11-25T12:01:00Z; undelivered: 4",
			`{"state":"Idle","attempt":0,"since":"2026-11-25T12:00:00Z","waiters":0,"inFlight":0,"restartAt":"2026-11-25T12:01:00Z","undelivered":4}`},
	} {
		if got := fmt.Sprint(c.status); got != c.line {
			t.Errorf("%q\nwant %q", got, c.line)
		}
		if got, err := json.Marshal(c.status); string(got) != c.json || err != nil {
			t.Errorf("%s, %v\nwant %s", got, err, c.json)
		}
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("it", "status", c.status)
		if want := fmt.Sprintf("status=%q\n", c.line); !strings.HasSuffix(log.String(), want) {
			t.Errorf("%s\nwant %s at its end", log.String(), want)
		}
	}
}
