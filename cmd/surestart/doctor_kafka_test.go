//go:build unix

package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

func TestDoctorOnApacheKafka(t *testing.T) {
	b := testbroker.Own(t, 1)
	topic, other := b.CreateTopic(t, 2), b.CreateTopic(t, 2)
	client := b.Client(t)
	defer client.Close()
	create := kmsg.NewPtrCreateACLsRequest()
	for user, operation := range map[string]kmsg.ACLOperation{"User:alice": kmsg.ACLOperationWrite, "User:bob": kmsg.ACLOperationDescribe} {
		one := kmsg.NewCreateACLsRequestCreation()
		one.ResourceType, one.ResourceName, one.ResourcePatternType = kmsg.ACLResourceTypeTopic, topic, kmsg.ACLResourcePatternTypeLiteral
		one.Principal, one.Host, one.Operation, one.PermissionType = user, "*", operation, kmsg.ACLPermissionTypeAllow
		create.Creations = append(create.Creations, one)
	}
	res, err := create.RequestWith(t.Context(), client)
	for _, r := range res.Results {
		err = errors.Join(err, kerr.ErrorForCode(r.ErrorCode))
	}
	if err != nil {
		t.Fatal(err)
	}
	plain, login := b.Addrs[0], b.SASL[0]
	for name, c := range map[string]struct {
		at, topic   string
		args        []string
		password    string
		part, cause string // of the first failure; empty: all is well
	}{
		"all well":            {plain, other, nil, "", "", ""},
		"all well, login":     {login, topic, []string{"-sasl", "scram-sha-512", "-user", "alice"}, "alice-secret", "", ""},
		"unknown topic":       {plain, "absent", nil, "", "topic", "does not exist"},
		"TLS against plain":   {plain, topic, []string{"-tls"}, "", "TLS", "does not speak TLS"},
		"no login":            {login, topic, nil, "", "login", "may want a login"},
		"login where none is": {plain, topic, []string{"-sasl", "plain", "-user", "alice"}, "alice-secret", "login", "has no login"},
		"wrong password":      {login, topic, []string{"-sasl", "plain", "-user", "alice"}, "wrong", "login", "password is wrong"},
		"other mechanism":     {login, topic, []string{"-sasl", "scram-sha-256", "-user", "alice"}, "alice-secret", "login", "other SASL mechanisms"},
		"no write permission": {login, topic, []string{"-sasl", "plain", "-user", "bob"}, "bob-secret", "permission", "may not write"},
	} {
		t.Run(name, func(t *testing.T) {
			r := callWith(t, "", map[string]string{passwordVariable: c.password}, append([]string{"doctor", "-brokers", c.at, "-topic", c.topic}, c.args...)...)
			failures := doctorFailures(r.out)
			switch {
			case c.part == "" && r.status == exitOK && failures == nil:
			case c.part != "" && r.status == exitFail && failures != nil &&
				strings.HasPrefix(failures[0][0], "FAIL  "+c.part+" ") && strings.Contains(failures[0][1], c.cause):
			default:
				t.Errorf("status %d, want a failure of %q, %q:\n%s%s", r.status, c.part, c.cause, r.out, r.err)
			}
		})
	}
}

// A broker that is down leaves the topic the least number of in-sync replicas; with another one, each
// write is refused.
func TestDoctorOnThreeBrokers(t *testing.T) {
	b := testbroker.Own(t, 3)
	topic := b.CreateTopic(t, 2)
	b.AwaitInSync(t, topic, 3)
	first := b.Addrs[0]
	b.Addrs = b.Addrs[:1] // the only broker that stays
	for _, c := range []struct {
		down         int // 0: none
		status       int
		mark, likely string
	}{{0, exitOK, "ok", ""}, {3, exitOK, "warn", "down: 3; start them"}, {2, exitFail, "FAIL", "down: 2, 3; start them"}} {
		if c.down > 0 {
			b.ShutDown(t, c.down)
			b.AwaitInSync(t, topic, c.down-1)
		}
		r := call(t, "", "doctor", "-brokers", first, "-topic", topic)
		if mark, _, likely := replicasOf(r.out); r.status != c.status || mark != c.mark || !strings.Contains(likely, c.likely) {
			t.Errorf("without %d: status %d:\n%s%s", c.down, r.status, r.out, r.err)
		}
	}
}
