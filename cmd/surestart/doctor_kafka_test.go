//go:build unix

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

func TestDoctorOnApacheKafka(t *testing.T) {
	b := testbroker.Own(t, 1, "allow.everyone.if.no.acl.found=false")
	topic, other := b.CreateTopic(t, 2), b.CreateTopic(t, 2)
	plain, login := b.Addrs[0], b.SASL[0]
	examine := func(t *testing.T, at, topic, password, part, cause string, args ...string) result {
		t.Helper()
		r := callWith(t, "", map[string]string{passwordVariable: password}, append([]string{"doctor", "-brokers", at, "-topic", topic}, args...)...)
		failures := doctorFailures(r.out)
		switch {
		case part == "" && r.status == exitOK && failures == nil:
		case part != "" && r.status == exitFail && failures != nil &&
			strings.HasPrefix(failures[0][0], "FAIL  "+part+" ") && strings.Contains(failures[0][1], cause):
		default:
			t.Errorf("status %d, want a failure of %q, %q:\n%s%s", r.status, part, cause, r.out, r.err)
		}
		return r
	}
	for name, c := range map[string]struct {
		at, topic   string
		args        []string
		password    string
		part, cause string // of the first failure; empty: all is well
	}{
		"all well":            {plain, other, nil, "", "", ""},
		"unknown topic":       {plain, "absent", nil, "", "topic", "does not exist"},
		"TLS against plain":   {plain, topic, []string{"-tls"}, "", "TLS", "does not speak TLS"},
		"no login":            {login, topic, nil, "", "login", "may want a login"},
		"login where none is": {plain, topic, []string{"-sasl", "plain", "-user", "alice"}, "alice-secret", "login", "has no login"},
		"wrong password":      {login, topic, []string{"-sasl", "plain", "-user", "alice"}, "wrong", "login", "password is wrong"},
		"other mechanism":     {login, topic, []string{"-sasl", "scram-sha-256", "-user", "alice"}, "alice-secret", "login", "other SASL mechanisms"},
	} {
		t.Run(name, func(t *testing.T) { examine(t, c.at, c.topic, c.password, c.part, c.cause, c.args...) })
	}

	// What is missing is named, and the command that doctor prints grants it.
	for _, c := range []struct {
		user, mechanism string
		had             []string // the new rules of the user
		part, cause     string
	}{
		{"alice", "scram-sha-512", nil, "topic", "may not describe"},
		{"bob", "plain", []string{"Describe --topic " + topic}, "producer id", "may write to no topic"},
		{"bob", "plain", []string{"Write --topic " + other}, "permission", "may not write"},
	} {
		t.Run(c.part, func(t *testing.T) {
			as := []string{"-sasl", c.mechanism, "-user", c.user}
			for _, rule := range c.had {
				allow(t, b, "kafka-acls --allow-principal User:"+c.user+" --operation "+rule)
			}
			r := examine(t, login, topic, c.user+"-secret", c.part, c.cause, as...)
			if c.user == "bob" && c.part == "producer id" {
				return // what is missing next is less
			}
			allow(t, b, grantsOf(r.out)[0])
			r = examine(t, login, topic, c.user+"-secret", "", "", as...)
			if mark, what, _ := replicasOf(r.out); mark != "-" || !strings.Contains(what, "DESCRIBE_CONFIGS") {
				t.Errorf("the user may not read the topic's settings:\n%s", r.out)
			}
			allow(t, b, "kafka-acls --allow-principal User:"+c.user+" --operation DescribeConfigs --topic "+topic)
			if mark, _, _ := replicasOf(examine(t, login, topic, c.user+"-secret", "", "", as...).out); mark != "ok" {
				t.Error("the user may read the topic's settings")
			}
		})
	}
}

// allow does what a command kafka-acls does that adds a rule, and returns when the broker knows it.
func allow(t *testing.T, b *testbroker.OwnBroker, command string) {
	t.Helper()
	client := b.Client(t)
	defer client.Close()
	word := strings.Fields(command)
	after := func(flag string) string { return word[slices.Index(word, flag)+1] }
	operation, err := kmsg.ParseACLOperation(after("--operation"))
	if err != nil {
		t.Fatal(err)
	}
	rule := kmsg.NewCreateACLsRequestCreation()
	rule.ResourceType, rule.ResourceName, rule.ResourcePatternType = kmsg.ACLResourceTypeTopic, after("--topic"), kmsg.ACLResourcePatternTypeLiteral
	rule.Principal, rule.Host, rule.Operation, rule.PermissionType = after("--allow-principal"), "*", operation, kmsg.ACLPermissionTypeAllow
	create := kmsg.NewPtrCreateACLsRequest()
	create.Creations = append(create.Creations, rule)
	res, err := create.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(res.Results[0].ErrorCode)
	}
	ask := kmsg.NewPtrDescribeACLsRequest()
	ask.ResourceType, ask.ResourceName, ask.ResourcePatternType = rule.ResourceType, &rule.ResourceName, rule.ResourcePatternType
	ask.Principal, ask.Operation, ask.PermissionType = &rule.Principal, operation, rule.PermissionType
	for known := new(kmsg.DescribeACLsResponse); err == nil && len(known.Resources) == 0; {
		known, err = ask.RequestWith(t.Context(), client)
	}
	if err != nil {
		t.Fatalf("%s: %v", command, err)
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
