//! One suite of named cases, expanded for both brokers.
//!
//! A case gets a [`Lab`], which opens clients of one fresh broker with leases of one second. What only a
//! server can go through is in [`connections`] and [`faults`].

mod connections;
mod faults;
mod lab;
mod names;
mod queues;
mod records;

macro_rules! suite {
    ($($room:ident: $($case:ident)+;)+) => {
        mod embedded {
            $($(
                #[tokio::test]
                async fn $case() {
                    super::$room::$case(&super::lab::Lab::embedded()).await;
                }
            )+)+
        }
        mod nats {
            $($(
                #[tokio::test]
                async fn $case() {
                    super::$room::$case(&super::lab::Lab::nats()).await;
                }
            )+)+
        }
    };
}

suite! {
    queues:
        a_settled_message_is_delivered_once
        a_confirmed_settle_covers_the_unconfirmed_ones_before_it
        an_expired_lease_is_redelivered_and_counted
        an_extended_lease_does_not_expire
        a_late_settle_is_accepted
        settling_twice_is_no_error
        a_retry_comes_after_its_delay
        a_dropped_message_is_gone
        two_messages_of_one_id_are_one
        the_queues_do_not_see_each_other
        urgent_messages_go_first
        the_first_few_go_before_the_rest_which_does_not_starve
        the_rest_reaches_a_waiting_pull
        messages_of_one_priority_come_in_order
        a_waiting_pull_wakes_at_once
        a_waiting_pull_ends_in_time
        a_waiting_pull_wakes_for_every_priority
        an_expiring_lease_wakes_a_waiting_pull
        a_pull_returns_at_most_what_was_asked
        a_dropped_pull_loses_nothing
        messages_of_mixed_priority_reach_waiting_pulls
        clients_that_compete_share_without_loss
        many_messages_pass
        a_message_over_the_limit_is_refused
        a_message_at_the_limit_passes
        a_full_queue_says_so;
    names:
        a_message_comes_to_those_who_name_its_queue
        queues_take_turns_and_of_each_urgent_messages_go_first
        a_queue_that_was_empty_is_not_forgotten_for_one_that_is_full
        what_lies_behind_urgent_messages_is_not_passed_round_until_it_looks_like_poison
        a_waiting_pull_wakes_for_each_of_its_queues
        a_dropped_pull_takes_nothing_more;
    records:
        a_log_keeps_its_order
        a_tail_sees_old_and_new_records
        a_tail_opens_before_its_log_exists
        an_unknown_log_is_empty
        a_record_of_one_id_is_appended_once
        one_id_in_two_logs_is_two_records
        records_carry_the_time
        a_record_over_the_limit_is_refused
        blobs_of_any_size_come_back
        a_blob_is_replaced
        blobs_have_any_name
        jobs_are_listed_and_forgotten
        a_worker_record_ends_unless_renewed
        a_withdrawn_worker_is_gone
        signals_reach_all_who_listen
        dead_letters_are_kept_in_order_until_they_are_removed;
}
