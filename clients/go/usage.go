package tiergate

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

const outcomesPath = "/v1/outcomes"

// Use is a request about a metered feature.
type Use struct {
	Subject Subject
	Feature string
	// Amount is one unit if it is empty.
	Amount Number
	// Key is the idempotency key: with the same key and content it counts once, so a call that failed can be repeated
	// with its key. If it is empty, the call makes one.
	Key string
	// At is the moment at which reported usage happened; now, if it is zero.
	At time.Time
	// ExpiresIn is how long a reservation lasts, in whole seconds, at least one; ten minutes, if it is zero.
	ExpiresIn time.Duration
}

// Consumption is the answer to a consumption, with the usage after it.
type Consumption struct {
	Answer
	Consumed Number `json:"consumed"` // the amount, or 0 if it is denied
	Key      string `json:"key"`
	Replayed bool   `json:"replayed"` // whether an earlier request with this key was counted, and this is its answer
}

// Reservation is units that are set aside until they are committed or released, or expire.
type Reservation struct {
	Answer
	Reserved  Number     `json:"reserved"`    // the amount, or 0 if it is denied
	ID        string     `json:"reservation"` // empty if it is denied
	ExpiresAt *time.Time `json:"expires_at"`
	Key       string     `json:"key"`
	Replayed  bool       `json:"replayed"`

	sidecar *Sidecar
}

// Recorded is usage that was counted after the fact.
type Recorded struct {
	Feature  string `json:"feature"`
	Amount   Number `json:"amount"`
	Window   Window `json:"window"`
	Key      string `json:"key"`
	Replayed bool   `json:"replayed"`
}

// Window is a time in which usage is counted; nil: without such an end.
type Window struct {
	From  *time.Time `json:"from"`
	Until *time.Time `json:"until"`
}

// FeatureUsage is the usage of a metered feature in its current window. Numbers that do not apply are empty.
type FeatureUsage struct {
	Feature   string     `json:"feature"`
	Scale     int        `json:"scale"`
	Unit      string     `json:"unit"`
	Used      Number     `json:"used"`
	Reserved  Number     `json:"reserved"` // units of open reservations, which Used contains
	UserUsed  Number     `json:"user_used"`
	Unlimited bool       `json:"unlimited"`
	Soft      bool       `json:"soft"`
	Limit     Number     `json:"limit"`
	Granted   Number     `json:"granted"`
	Remaining Number     `json:"remaining"`
	Overage   Number     `json:"overage"`
	Window    Window     `json:"window"`
	ResetsAt  *time.Time `json:"resets_at"`
}

type useBody struct {
	Check
	Key       string `json:"key"`
	At        string `json:"at,omitempty"`
	ExpiresIn int64  `json:"expires_in,omitempty"`
}

func (use Use) body() useBody {
	key := use.Key
	if key == "" {
		key = newKey()
	}
	return useBody{Check: Check{Subject: use.Subject, Feature: use.Feature, Amount: use.Amount}, Key: key}
}

// Consume checks a metered feature, and counts the amount if it is allowed. After an UnreachableError it may have been
// counted: repeat it with the same Key.
func (s *Sidecar) Consume(ctx context.Context, use Use) (Consumption, error) {
	var found Consumption
	id, err := s.post(ctx, "/v1/consume", use.body(), &found)
	if err != nil {
		return Consumption{}, err
	}
	found.DecisionID = id
	return found, s.about(found.Feature, use.Feature)
}

// Reserve checks a metered feature, and sets the amount aside if it is allowed. ExpiresIn below a second is a
// *RequestError.
func (s *Sidecar) Reserve(ctx context.Context, use Use) (*Reservation, error) {
	if use.ExpiresIn != 0 && use.ExpiresIn < time.Second {
		return nil, refused("/expires_in", "must be at least one second")
	}
	body := use.body()
	body.ExpiresIn = int64(use.ExpiresIn / time.Second)
	found := &Reservation{sidecar: s}
	id, err := s.post(ctx, "/v1/reserve", body, found)
	if err != nil {
		return nil, err
	}
	found.DecisionID = id
	return found, s.about(found.Feature, use.Feature)
}

// Commit uses an amount of the reservation, all of it if the amount is empty; the rest is given back. A reservation that
// is denied cannot end: a *RequestError, as for Release.
func (r *Reservation) Commit(ctx context.Context, amount Number) error {
	return r.sidecar.Commit(ctx, r.ID, amount)
}

// Release gives all of the reservation back.
func (r *Reservation) Release(ctx context.Context) error { return r.sidecar.Release(ctx, r.ID) }

// Commit uses a reservation by its id, as in another process than the one that made it.
func (s *Sidecar) Commit(ctx context.Context, reservation string, amount Number) error {
	body := struct {
		Amount Number `json:"amount,omitempty"`
	}{amount}
	return s.end(ctx, reservation, "commit", body)
}

// Release gives a reservation back by its id.
func (s *Sidecar) Release(ctx context.Context, reservation string) error {
	return s.end(ctx, reservation, "release", struct{}{})
}

func (s *Sidecar) end(ctx context.Context, reservation, verb string, body any) error {
	if reservation == "" {
		return refused("/reservation", "is empty: a reservation that is denied cannot end")
	}
	_, err := s.post(ctx, "/v1/reservations/"+url.PathEscape(reservation)+"/"+verb, body, new(struct{}))
	return err
}

// ReportUsage counts usage that has happened; it may exceed the limit.
func (s *Sidecar) ReportUsage(ctx context.Context, use Use) (Recorded, error) {
	body := use.body()
	if !use.At.IsZero() {
		body.At = use.At.Format(time.RFC3339Nano)
	}
	var found Recorded
	_, err := s.post(ctx, "/v1/usage", body, &found)
	return found, err
}

// Usage returns what a subject has used of one metered feature, or of all if it is empty, in their current windows.
func (s *Sidecar) Usage(ctx context.Context, subject Subject, feature string) ([]FeatureUsage, error) {
	query := subject.query()
	if feature != "" {
		query.Set("feature", feature)
	}
	var found struct {
		Usage []FeatureUsage `json:"usage"`
	}
	_, err := s.request(ctx, http.MethodGet, "/v1/usage?"+query.Encode(), nil, &found)
	return found.Usage, err
}

// Outcome is how a request to a feature went.
type Outcome struct {
	Feature  string
	OK       bool
	Duration time.Duration // how long it took; nothing is said if it is zero
	At       time.Time     // when; now, if it is zero
	ID       string        // with the same id it counts once; may be empty
}

type outcomeBody struct {
	Feature    string   `json:"feature"`
	OK         bool     `json:"ok"`
	DurationMs *float64 `json:"duration_ms,omitempty"`
	At         string   `json:"at,omitempty"`
	ID         string   `json:"id,omitempty"`
}

// Outcomes reports how requests to features went, up to 1,000. It returns what is wrong with some of them. After an
// UnreachableError they may have been counted: with an ID the call can be repeated.
func (s *Sidecar) Outcomes(ctx context.Context, outcomes []Outcome) ([]*RequestError, error) {
	bodies := make([]outcomeBody, len(outcomes))
	for place, one := range outcomes {
		bodies[place] = outcomeBody{Feature: one.Feature, OK: one.OK, ID: one.ID}
		if one.Duration > 0 {
			milliseconds := float64(one.Duration.Microseconds()) / 1000
			bodies[place].DurationMs = &milliseconds
		}
		if !one.At.IsZero() {
			bodies[place].At = one.At.Format(time.RFC3339Nano)
		}
	}
	var found struct {
		Results []struct {
			Replayed *bool `json:"replayed"`
			problem
		} `json:"results"`
	}
	if _, err := s.post(ctx, outcomesPath, map[string]any{"outcomes": bodies}, &found); err != nil {
		return nil, err
	}
	var wrong []*RequestError
	for _, result := range found.Results {
		if result.Replayed == nil {
			wrong = append(wrong, result.problem.asError(0))
		}
	}
	return wrong, nil
}
