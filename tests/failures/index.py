"""What went wrong elsewhere, and the tests that show that it cannot happen here.

Each failure was found in published code or papers for unlearning, privacy accounting or signed
receipts. `test_index` checks that every test named here exists.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """One failure, in a sentence, and where it is tested: `file::function`, from `tests/`."""

    words: str
    tests: tuple[str, ...]


FAILURES = {
    1: Failure(
        "a signed certificate for a deletion that changed no weight",
        (
            "failures/test_deletion.py::"
            "test_a_signed_certificate_for_a_deletion_that_changed_no_weight",
            "failures/test_deletion.py::test_heads_that_are_left_as_they_were_are_not_released",
            "deletion/test_update.py::test_a_deletion_that_changed_nothing_is_refused_at_issuance",
            "workflows/test_cheats.py::test_an_engine_that_changed_no_weight_is_caught",
        ),
    ),
    2: Failure(
        "a tolerance that grows as epsilon shrinks",
        (
            "failures/test_arithmetic.py::test_a_tolerance_that_grows_as_epsilon_shrinks",
            "deletion/test_parameters.py::test_a_smaller_epsilon_never_gets_a_larger_tolerance",
        ),
    ),
    3: Failure(
        "`except Exception:` falling back to another method under the same name",
        (
            "deletion/test_update.py::"
            "test_a_tolerance_out_of_reach_releases_nothing_under_another_name",
        ),
    ),
    4: Failure(
        "final accuracy reported for the weights before removal",
        ("failures/test_deletion.py::test_final_accuracy_reported_for_the_weights_before_removal",),
    ),
    5: Failure(
        "a bound from power iteration, which approaches from below",
        (
            "head/test_solve.py::test_the_bound_is_above_the_true_residual_and_tight",
            "head/test_cost.py::test_the_condition_is_an_upper_bound",
        ),
    ),
    6: Failure(
        "masked 'frozen' weights moved by weight decay and momentum",
        (
            "workflows/test_revocation.py::"
            "test_a_revoked_channel_leaves_model_and_data_and_the_certificate_verifies",
            "deletion/test_taint.py::"
            "test_an_honest_batch_passes_and_no_bit_of_it_can_be_left_out_or_added",
        ),
    ),
    7: Failure(
        "an accountant that ignored the Renyi order",
        (
            "failures/test_arithmetic.py::test_an_accountant_that_ignored_the_renyi_order",
            "privacy/test_zcdp.py::test_a_second_opinion",
        ),
    ),
    8: Failure(
        "keys embedded in the receipt and trusted",
        ("failures/test_verifier.py::test_keys_embedded_in_the_receipt_and_trusted",),
    ),
    9: Failure(
        "a verifier that printed success before the last check, or exited 0 on failure",
        (
            "failures/test_verifier.py::test_a_verifier_that_printed_success_before_the_last_check",
            "failures/test_verifier.py::test_a_verifier_that_exited_0_on_failure",
        ),
    ),
    10: Failure(
        "a log entry of another artefact accepted",
        (
            "failures/test_verifier.py::test_a_log_entry_of_another_artefact_accepted",
            "verify/test_verify.py::test_the_entry_of_another_artefact_is_refused",
        ),
    ),
    11: Failure(
        "row-level hash chains that forked under two writers",
        (
            "failures/test_ledger.py::test_row_level_hash_chains_that_forked_under_two_writers",
            "ledger/test_log.py::test_two_processes_append_and_publish_without_gap_or_fork",
            "ledger/test_log.py::test_two_processes_append_ten_thousand_entries_each",
        ),
    ),
    12: Failure(
        "test metrics used for model selection, one mask realisation for all modalities, F1 with "
        "its arguments swapped, metrics for a wrong file format",
        (
            "workflows/test_taint.py::"
            "test_a_foundation_person_moves_every_frozen_block_that_declares_it",
            "evaluation/test_damage.py::"
            "test_each_modality_each_record_and_each_seed_has_a_mask_of_its_own",
            "evaluation/test_metrics.py::"
            "test_f1_weighs_by_the_classes_of_the_truth_and_not_of_the_prediction",
            "evaluation/test_metrics.py::"
            "test_the_label_range_says_which_metrics_and_a_name_overrides_it_where_it_fits",
            "data/test_mmsa.py::test_another_layout_is_refused_by_name",
        ),
    ),
    13: Failure(
        "erased people living on in audit rows",
        (
            "failures/test_ledger.py::test_erased_people_living_on_in_audit_rows",
            "workflows/test_privacy.py::"
            "test_after_a_revocation_no_database_knows_the_person_in_any_form",
        ),
    ),
    14: Failure(
        "a restored backup that became a fork",
        (
            "failures/test_ledger.py::test_a_restored_backup_that_became_a_fork",
            "failures/test_ledger.py::"
            "test_a_fork_that_a_signer_without_memory_did_make_is_seen_by_who_looked_before",
            "workflows/test_backup.py::test_an_older_ledger_that_was_put_back_is_not_served_with",
            "ledger/test_log.py::test_a_restored_backup_is_refused_and_told_what_to_do",
        ),
    ),
}
