// Package group starts and stops several lifecycles as one lifecycle, in the order of their
// dependencies.
//
//	services, err := group.New([]group.Member{
//		{Name: "database", Lifecycle: db},
//		{Name: "cache", Lifecycle: cache},
//		{Name: "api", Lifecycle: api, Needs: []string{"database", "cache"}},
//	})
//	...
//	err = services.Run(ctx) // database and cache, then api; stopped in the reverse order
//
// A group is itself an fsm.Lifecycle: it has Start, Stop, Run, Ready, Status, observers and
// all options, keeps the guarantees of a lifecycle (docs/many-together.md lists limits), and
// may be a member of another group. The group's open starts its members, and its release stops
// them. The package adds the order:
//
//   - A member starts as soon as all members that it needs are open. Two members, neither of which
//     needs the other, directly or indirectly, do not wait for each other.
//   - A member stops as soon as every member that needs it has stopped. The drains of all members
//     share one deadline, the group's fsm.WithReleaseTimeout. A group that is itself a member has
//     its own. At the deadline the remaining uses are cut off; the members still stop in order.
//   - If a member fails to start, the group abandons the starts that are running, and stops the
//     members that are open. The error of Start names the member.
//   - If a member dies, the group dies with a *DiedError: all members are stopped, in order. A Stop
//     of a member by another caller counts as its death. With fsm.WithRestart the group is then
//     started again. With Member.Restart only the member and those that need it are restarted.
//
// The group holds its members (fsm.Lifecycle.Hold), so groups may share a member: a member that
// another owner holds stays open when the group stops. A Started group runs no goroutine of its
// own, except during a restart of members.
//
// For goroutines that end together, without resources, errgroup is enough.
package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/oneline"
)

// A Group is a lifecycle whose resource is its members. While it is Started all members are
// open, except those that are being restarted (Member.Restart).
type Group = fsm.Lifecycle[struct{}]

// A Holder is the lifecycle of a member: an *fsm.Lifecycle of any resource, a
// *producer.Producer, or another Group.
type Holder interface {
	Hold(ctx context.Context) (held context.Context, release func(context.Context) error, err error)
	Wait(ctx context.Context, states ...fsm.State) (fsm.State, error)
}

// A Member is one lifecycle of a group.
type Member struct {
	Name      string // identifies the member in errors, in Status and in Needs
	Lifecycle Holder
	Needs     []string // the names of the members that must be open while this one is open

	// Restart makes the group restart the member once it has died, together with the members that
	// need it. Those are stopped first; after 10 seconds their uses are cut off. The other
	// members stay open, and the group stays Started. Restart.Next returns the pause before each
	// restart. Its try and err are as in fsm.WithRestart, and err includes the errors of these
	// stops. A method Restarts() Backoff is used as there. If Restart gives up, panics or calls
	// runtime.Goexit, or one of these members fails to start, the group dies. If Restart is nil,
	// the group dies at once.
	Restart fsm.Backoff
}

// DiedError is the cause of a group's death.
type DiedError struct {
	Member string // the member that died
	Err    error  // the cause: as given to Fail, fsm.ErrStopped, fsm.ErrClosed, or the error of its restart; with the panic or the exit of its Backoff
}

// Error returns the member and the cause on one line. It escapes characters that do not print.
func (e *DiedError) Error() string {
	return fmt.Sprintf("group: member %s died: %s", oneline.Escape(e.Member), oneline.Line(e.Err))
}

// Unwrap returns Err.
func (e *DiedError) Unwrap() error { return e.Err }

// New returns an idle group of these members. The options are those of its lifecycle. New
// starts nothing. It returns one error that names everything that is wrong: a member without
// a name or a lifecycle, two members with the same name or lifecycle, a need that is not a
// member, a Backoff whose Restarts returns nil, members whose needs form a cycle. A nil option
// panics.
func New(members []Member, opts ...fsm.Option) (*Group, error) {
	sorted, err := sort(members)
	if err != nil {
		return nil, err
	}
	return fsm.New(func(ctx context.Context, scope *fsm.Scope) (struct{}, error) {
		return struct{}{}, newSession(ctx, scope, sorted).open()
	}, opts...), nil
}

// A node is a member among the others.
type node struct {
	Member
	index    int            // in the order of sort
	needs    []*node        // the members that it needs directly
	neededBy []*node        // the members that need it directly
	above    map[*node]bool // the members that need it, directly or not
}

// sort returns the members as nodes, each after all members that it needs.
func sort(members []Member) ([]*node, error) {
	var wrong []error
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("group: "+format, args...)) }
	byName := make(map[string]*node)
	owner := make(map[Holder]string)
	var all []*node
	for i, m := range members {
		if m.Name == "" {
			refuse("member %d has no name", i)
			continue
		}
		if byName[m.Name] != nil {
			refuse("two members have the name %q", m.Name)
			continue
		}
		if r, ok := m.Restart.(interface{ Restarts() fsm.Backoff }); ok {
			if m.Restart = r.Restarts(); m.Restart == nil {
				refuse("member %q: the Backoff's method Restarts returned nil: want a Backoff", m.Name)
			}
		}
		n := &node{Member: m, above: make(map[*node]bool)}
		byName[m.Name] = n
		all = append(all, n)
		switch v := reflect.ValueOf(m.Lifecycle); {
		case !v.IsValid(), v.Kind() == reflect.Pointer && v.IsNil():
			refuse("member %q has no lifecycle", m.Name)
		case !v.Comparable():
		case owner[m.Lifecycle] != "":
			refuse("the members %q and %q have the same lifecycle", owner[m.Lifecycle], m.Name)
		default:
			owner[m.Lifecycle] = m.Name
		}
	}
	for _, n := range all {
		for _, name := range n.Needs {
			need := byName[name]
			if need == nil {
				refuse("member %q needs %q, which is no member", n.Name, name)
				continue
			}
			n.needs = append(n.needs, need)
			need.neededBy = append(need.neededBy, n)
		}
	}
	var sorted []*node
	const unvisited, visiting, visited = 0, 1, 2
	mark := make(map[*node]int)
	var visit func(n *node, path []string)
	visit = func(n *node, path []string) {
		path = append(path, n.Name)
		switch mark[n] {
		case visiting:
			refuse("the members form a cycle: %s", strings.Join(path[slices.Index(path, n.Name):], " needs "))
		case unvisited:
			mark[n] = visiting
			for _, need := range n.needs {
				visit(need, path)
			}
			mark[n] = visited
			n.index = len(sorted)
			sorted = append(sorted, n)
		}
	}
	for _, n := range all {
		visit(n, nil)
	}
	if wrong != nil {
		return nil, errors.Join(wrong...)
	}
	for _, n := range slices.Backward(sorted) { // the members that need n come after it: their above is complete
		for _, by := range n.neededBy {
			n.above[by] = true
			maps.Copy(n.above, by.above)
		}
	}
	return sorted, nil
}
