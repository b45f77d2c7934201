// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {Escrow} from "../src/Escrow.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {IPredicates} from "../src/IPredicates.sol";
import {ISplit} from "../src/ISplit.sol";
import {IStake} from "../src/IStake.sol";
import {Authorization, Money} from "../src/Money.sol";
import {PayToken} from "../src/PayToken.sol";
import {Predicates} from "../src/Predicates.sol";
import {EscrowFixture} from "./EscrowFixture.sol";
import {BlockingToken, FeeToken, ReentrantToken, Wallet} from "./MarketFixture.sol";

contract FundingTest is EscrowFixture {
    function _refuse(Escrow.Job[] memory jobs, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(buyer);
        escrow.fund(jobs);
        vm.assertEq(token.balanceOf(address(escrow)), 0);
    }

    function test_the_buyer_funds_a_job() public {
        Escrow.Job memory job = _result();
        bytes32 id = _ids(_one(job))[0];
        vm.expectEmit(address(escrow));
        emit Escrow.JobFunded(id, buyer, provider, job);
        _fund(job);
        vm.assertEq(escrow.jobId(job), id);
        _assertStanding(id, Escrow.Stage.Funded, START, 0, 0);
        _assertPaid(0, 0);
    }

    function test_many_jobs_are_funded_at_once() public {
        Escrow.Job memory other = _panel();
        other.amount = 7;
        bytes32[] memory ids = _fund(_two(_result(), other));
        vm.assertEq(token.balanceOf(address(escrow)), AMOUNT + 7);
        _assertStanding(ids[1], Escrow.Stage.Funded, START, 0, 0);
    }

    function test_only_the_buyer_funds_by_allowance() public {
        vm.expectRevert(abi.encodeWithSelector(Escrow.NotParty.selector, stranger, buyer));
        vm.prank(stranger);
        escrow.fund(_one(_result()));
    }

    function test_a_batch_has_one_buyer_and_one_token() public {
        Escrow.Job memory other = _panel();
        other.buyer = stranger;
        _refuse(_two(_result(), other), abi.encodeWithSelector(Escrow.BatchMixed.selector, 1));
        other = _panel();
        other.token = IPayToken(address(1));
        _refuse(_two(_result(), other), abi.encodeWithSelector(Escrow.BatchMixed.selector, 1));
        _refuse(new Escrow.Job[](0), _outOfBounds(0, 1, type(uint256).max));
    }

    function test_a_job_is_funded_once() public {
        bytes32 id = _ids(_one(_result()))[0];
        bytes memory reason = _wrongStage(id, Escrow.Stage.Funded, Escrow.Stage.None);
        _refuse(_two(_result(), _result()), reason);
        _fund(_result());
        vm.expectRevert(reason);
        _fund(_result());
        escrow.prove(_result(), OUTCOME);
        vm.expectRevert(_wrongStage(id, Escrow.Stage.Closed, Escrow.Stage.None));
        _fund(_result());
    }

    function test_a_job_names_provider_amount_units_and_predicate() public {
        Escrow.Job memory job = _result();
        job.provider = address(0);
        _refuse(_one(job), abi.encodeWithSelector(Escrow.ZeroAddress.selector));
        job = _result();
        job.predicate = 0;
        _refuse(_one(job), abi.encodeWithSelector(Escrow.ZeroHash.selector));
        job = _result();
        job.amount = 0;
        _refuse(_one(job), _outOfBounds(0, 1, type(uint96).max));
        job = _result();
        job.units = 0;
        _refuse(_one(job), _outOfBounds(0, 1, type(uint32).max));
    }

    function test_a_deadline_has_bounds() public {
        Escrow.Job memory job = _result();
        job.deadline = uint64(START);
        _refuse(_one(job), _outOfBounds(START, START + 1, START + 365 days));
        job.deadline = uint64(START) + 365 days + 1;
        _refuse(_one(job), _outOfBounds(START + 365 days + 1, START + 1, START + 365 days));
        job.deadline = uint64(START) + 365 days;
        _fund(job);
        job.deadline = uint64(START) + 1;
        _fund(job);
    }

    function test_only_kinds_that_wait_have_a_window() public {
        Escrow.Job[3] memory none = [_result(), _panel(), _staked(1)];
        for (uint256 i = 0; i < 3; ++i) {
            none[i].window = 1;
            _refuse(_one(none[i]), _outOfBounds(1, 0, 0));
        }
        Escrow.Job[2] memory waits = [_sampled(), _gold()];
        for (uint256 i = 0; i < 2; ++i) {
            waits[i].window = 0;
            _refuse(_one(waits[i]), _outOfBounds(0, 1, 30 days));
            waits[i].window = 30 days + 1;
            _refuse(_one(waits[i]), _outOfBounds(30 days + 1, 1, 30 days));
        }
        (waits[0].window, waits[1].window) = (30 days, 1);
        _fund(_two(waits[0], waits[1]));
    }

    function test_a_share_of_the_stake_is_at_most_the_whole() public {
        _refuse(_one(_staked(1_000_001)), _outOfBounds(1_000_001, 1, 1_000_000));
        _fund(_two(_staked(1_000_000), _staked(1)));
    }

    function test_a_job_is_in_a_token_that_is_open() public {
        vm.prank(owner);
        split.setToken(token, false);
        _refuse(_one(_result()), abi.encodeWithSelector(Escrow.TokenNotAllowed.selector, address(token)));
    }

    function test_a_token_that_takes_a_fee_is_refused() public {
        _setToken(new FeeToken(address(this)));
        _refuse(_one(_result()), abi.encodeWithSelector(Money.AmountDiffers.selector, AMOUNT - 1, AMOUNT));
        Authorization memory authorization = _authorizeJobs(_one(_result()));
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, AMOUNT - 1, AMOUNT));
        escrow.fundByAuthorization(_one(_result()), authorization);
    }

    function _authorizeJobs(Escrow.Job[] memory jobs) private view returns (Authorization memory) {
        uint256 sum;
        for (uint256 i = 0; i < jobs.length; ++i) {
            sum += jobs[i].amount;
        }
        return _authorize(BUYER_KEY, address(escrow), sum, keccak256(abi.encodePacked(_ids(jobs))));
    }

    function test_an_authorization_funds_its_jobs_whoever_sends_it() public {
        Escrow.Job[] memory jobs = _two(_result(), _panel());
        Authorization memory authorization = _authorizeJobs(jobs);
        vm.prank(stranger);
        escrow.fundByAuthorization(jobs, authorization);
        vm.assertEq(token.balanceOf(address(escrow)), 2 * AMOUNT);
        vm.assertEq(token.balanceOf(buyer), MONEY - 2 * AMOUNT);
        vm.expectRevert(_wrongStage(_ids(jobs)[0], Escrow.Stage.Funded, Escrow.Stage.None));
        escrow.fundByAuthorization(jobs, authorization);
    }

    function test_an_authorization_is_good_for_its_jobs_contract_and_chain() public {
        Escrow.Job memory changed = _result();
        changed.provider = stranger;
        Authorization memory authorization = _authorizeJobs(_one(_result()));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        escrow.fundByAuthorization(_one(changed), authorization);
        Authorization memory both = _authorizeJobs(_two(_result(), _panel()));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        escrow.fundByAuthorization(_one(_result()), both);
        Escrow other = new Escrow(split, predicates);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        other.fundByAuthorization(_one(_result()), authorization);
        vm.chainId(31337);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        escrow.fundByAuthorization(_one(_result()), authorization);
    }

    function test_whatever_is_changed_in_a_job_has_another_id(uint8 field, uint256 value) public view {
        Escrow.Job memory job = _result();
        bytes32 id = escrow.jobId(job);
        (field, value) = (uint8(_within(field, 0, 11)), _within(value, 1, 4));
        if (field == 0) job.buyer = address(uint160(value));
        if (field == 1) job.provider = address(uint160(value));
        if (field == 2) job.token = IPayToken(address(uint160(value)));
        if (field == 3) job.amount += uint96(value);
        if (field == 4) job.deadline += uint64(value);
        if (field == 5) job.window += uint64(value);
        if (field == 6) job.units += uint32(value);
        if (field == 7) job.kind = IPredicates.Kind(value);
        if (field == 8) job.predicate ^= bytes32(value);
        if (field == 9) job.splitKey ^= bytes32(value);
        if (field == 10) job.subject ^= bytes32(value);
        if (field == 11) job.nonce += value;
        vm.assertTrue(escrow.jobId(job) != id);
    }

    function test_an_escrow_has_split_and_predicates() public {
        vm.expectRevert(Escrow.ZeroAddress.selector);
        new Escrow(ISplit(address(0)), predicates);
        vm.expectRevert(Escrow.ZeroAddress.selector);
        new Escrow(split, IPredicates(address(0)));
        vm.assertEq(address(escrow.split()), address(split));
        vm.assertEq(address(escrow.predicates()), address(predicates));
    }

    function test_the_bounds_are_stated() public view {
        vm.assertEq(escrow.MAX_DURATION(), 365 days);
        vm.assertEq(escrow.MAX_WINDOW(), 30 days);
        vm.assertEq(
            escrow.ACCEPTANCE_TYPEHASH(), keccak256("Acceptance(bytes32[] jobs,uint96[] cumulatives,uint64 expiry)")
        );
    }
}

contract AcceptanceTest is EscrowFixture {
    Escrow.Job private _it;
    bytes32 private _id;

    function setUp() public override {
        super.setUp();
        _it = _result();
        _id = _fund(_it);
    }

    function test_the_buyer_accepts_in_parts() public {
        vm.expectEmit(address(escrow));
        emit Escrow.JobPaid(_id, provider, 30e6, 30e6);
        _claim(_it, 30e6);
        _assertStanding(_id, Escrow.Stage.Funded, START, 0, 30e6);
        _assertPaid(30e6, 0);
        vm.expectEmit(address(escrow));
        emit Escrow.JobPaid(_id, provider, 70e6, AMOUNT);
        vm.expectEmit(address(escrow));
        emit Escrow.JobClosed(_id, AMOUNT, 0);
        _claim(_it, AMOUNT);
        _assertStanding(_id, Escrow.Stage.Closed, START, 0, AMOUNT);
        _assertPaid(AMOUNT, 0);
    }

    function test_an_acceptance_pays_once() public {
        _claim(_it, 30e6);
        vm.expectRevert(Escrow.NothingToDo.selector);
        _claim(_it, 30e6);
        vm.expectRevert(Escrow.NothingToDo.selector);
        _claim(_it, 29e6);
        _claim(_it, AMOUNT);
        vm.expectRevert(_wrongStage(_id, Escrow.Stage.Closed, Escrow.Stage.Funded));
        _claim(_it, AMOUNT);
        _assertPaid(AMOUNT, 0);
    }

    function test_no_more_is_accepted_than_was_funded() public {
        vm.expectRevert(_outOfBounds(AMOUNT + 1, 0, AMOUNT));
        _claim(_it, AMOUNT + 1);
    }

    function test_an_acceptance_expires() public {
        uint64 expiry = uint64(START) + 1 hours;
        bytes memory approval = _byBuyer(BUYER_KEY, _one(_it), _amounts(1), expiry);
        vm.warp(expiry);
        vm.expectRevert(abi.encodeWithSelector(Escrow.TooLate.selector, bytes32(0), expiry, expiry));
        escrow.claim(_one(_it), _amounts(1), expiry, approval);
        vm.expectRevert(abi.encodeWithSelector(Predicates.SignatureInvalid.selector, buyer));
        escrow.claim(_one(_it), _amounts(1), expiry + 1, approval);
        vm.warp(expiry - 1);
        escrow.claim(_one(_it), _amounts(1), expiry, approval);
        _assertPaid(1, 0);
    }

    function test_an_acceptance_counts_until_the_deadline() public {
        vm.warp(DEADLINE);
        vm.expectRevert(abi.encodeWithSelector(Escrow.TooLate.selector, _id, DEADLINE, DEADLINE));
        _claim(_it, 1);
        vm.warp(DEADLINE - 1);
        _claim(_it, 1);
        _assertPaid(1, 0);
    }

    function test_only_the_buyer_accepts_alone() public {
        bytes memory forged = _byBuyer(PROVIDER_KEY, _one(_it), _amounts(1), FOREVER);
        vm.expectRevert(abi.encodeWithSelector(Predicates.SignatureInvalid.selector, buyer));
        escrow.claim(_one(_it), _amounts(1), FOREVER, forged);
        bytes memory evaluators = _byEvaluators(_who(0, 1), _one(_it), _amounts(1));
        vm.expectRevert(abi.encodeWithSelector(Predicates.WrongKind.selector, RESULT, PANEL));
        escrow.claim(_one(_it), _amounts(1), FOREVER, evaluators);
        _assertPaid(0, 0);
    }

    function test_an_acceptance_is_good_for_its_amount_job_contract_and_chain() public {
        bytes memory refusal = abi.encodeWithSelector(Predicates.SignatureInvalid.selector, buyer);
        bytes memory approval = _byBuyer(BUYER_KEY, _one(_it), _amounts(30e6), FOREVER);
        vm.expectRevert(refusal);
        escrow.claim(_one(_it), _amounts(31e6), FOREVER, approval);
        Escrow.Job memory again = _result();
        again.nonce = 2;
        _fund(again);
        vm.expectRevert(refusal);
        escrow.claim(_one(again), _amounts(30e6), FOREVER, approval);
        Escrow other = new Escrow(split, predicates);
        vm.expectRevert(refusal);
        other.claim(_one(_it), _amounts(30e6), FOREVER, approval);
        vm.chainId(31337);
        vm.expectRevert(refusal);
        escrow.claim(_one(_it), _amounts(30e6), FOREVER, approval);
    }

    function test_the_digest_is_eip_712s(uint96[2] memory amounts, bytes32[2] memory jobs, uint64 expiry) public view {
        bytes32[] memory ids = new bytes32[](2);
        (ids[0], ids[1]) = (jobs[0], jobs[1]);
        uint96[] memory cumulatives = _amounts(amounts[0], amounts[1]);
        vm.assertEq(escrow.acceptanceDigest(ids, cumulatives, expiry), _acceptance(ids, cumulatives, expiry));
    }

    function test_a_job_that_was_not_funded_is_not_paid() public {
        Escrow.Job memory other = _panel();
        bytes32 id = _ids(_one(other))[0];
        vm.expectRevert(_wrongStage(id, Escrow.Stage.None, Escrow.Stage.Funded));
        _claim(other, 1);
    }

    function test_a_wallet_that_is_a_contract_accepts() public {
        _it.buyer = address(new Wallet(buyer));
        token.drip(_it.buyer, AMOUNT);
        vm.prank(_it.buyer);
        token.approve(address(escrow), AMOUNT);
        _fund(_it);
        _claim(_it, AMOUNT);
        vm.assertEq(token.balanceOf(provider), MONEY + AMOUNT);
    }

    function test_an_approval_has_a_signature_for_each_signer() public {
        address[] memory signers = new address[](1);
        signers[0] = buyer;
        bytes memory approval = abi.encode(0, new address[](0), signers, new bytes[](0));
        vm.expectRevert(abi.encodeWithSelector(Predicates.LengthDiffers.selector, 0, 1));
        escrow.claim(_one(_it), _amounts(1), FOREVER, approval);
    }

    function test_a_batch_has_an_amount_for_each_job() public {
        bytes memory approval = _byBuyer(BUYER_KEY, _one(_it), _amounts(1), FOREVER);
        vm.expectRevert(abi.encodeWithSelector(Escrow.LengthDiffers.selector, 2, 1));
        escrow.claim(_one(_it), _amounts(1, 1), FOREVER, approval);
        vm.expectRevert(_outOfBounds(0, 1, type(uint256).max));
        escrow.claim(new Escrow.Job[](0), new uint96[](0), FOREVER, approval);
    }

    function _second() private returns (Escrow.Job memory other, bytes32 id) {
        other = _result();
        (other.nonce, other.provider) = (2, stranger);
        id = _fund(other);
    }

    function _claimBoth(Escrow.Job memory other, uint256 a, uint256 b) private {
        bytes memory approval = _byBuyer(BUYER_KEY, _two(_it, other), _amounts(a, b), FOREVER);
        escrow.claim(_two(_it, other), _amounts(a, b), FOREVER, approval);
    }

    function test_one_signature_accepts_many_jobs_of_a_buyer() public {
        (Escrow.Job memory other, bytes32 id) = _second();
        _claimBoth(other, AMOUNT, 40e6);
        _assertStanding(_id, Escrow.Stage.Closed, START, 0, AMOUNT);
        _assertStanding(id, Escrow.Stage.Funded, START, 0, 40e6);
        vm.assertEq(token.balanceOf(provider), MONEY + AMOUNT);
        vm.assertEq(token.balanceOf(stranger), MONEY + 40e6);
        vm.assertEq(token.balanceOf(address(escrow)), 60e6);
    }

    function test_a_batch_leaves_out_what_is_done() public {
        (Escrow.Job memory other,) = _second();
        _claim(_it, AMOUNT);
        _claimBoth(other, AMOUNT, AMOUNT);
        vm.assertEq(token.balanceOf(provider), MONEY + AMOUNT);
        vm.assertEq(token.balanceOf(stranger), MONEY + AMOUNT);
        vm.expectRevert(Escrow.NothingToDo.selector);
        _claimBoth(other, AMOUNT, AMOUNT);
    }

    function test_a_batch_leaves_out_what_is_over() public {
        Escrow.Job memory other = _result();
        (other.nonce, other.deadline) = (2, DEADLINE + 1);
        _fund(other);
        vm.warp(DEADLINE);
        _claimBoth(other, 5, 7);
        vm.assertEq(token.balanceOf(provider), MONEY + 7);
        _assertStanding(_id, Escrow.Stage.Funded, START, 0, 0);
    }

    function test_a_job_twice_in_a_batch_pays_once() public {
        _claimBoth(_it, 5, 5);
        vm.assertEq(token.balanceOf(provider), MONEY + 5);
        _claimBoth(_it, 7, 9);
        vm.assertEq(token.balanceOf(provider), MONEY + 9);
    }

    function test_a_batch_by_the_buyer_holds_its_own_jobs_only() public {
        Escrow.Job memory other = _result();
        other.buyer = stranger;
        _fund(other);
        vm.expectRevert(abi.encodeWithSelector(Escrow.BatchMixed.selector, 1));
        _claimBoth(other, 1, 1);
    }

    function test_a_batch_pays_each_token_and_share_apart() public {
        (Escrow.Job memory shared, PayToken first) = (_result(), token);
        shared.splitKey = KEY;
        _fund(shared);
        _setShares(KEY, _shares(provider, 500_000, stranger, 250_000));
        _claimBoth(shared, 10, 100);
        vm.assertEq(token.balanceOf(provider), MONEY + 10);
        vm.assertEq(split.creditOf(token, provider), 50);
        vm.assertEq(split.creditOf(token, stranger), 25);
        vm.assertEq(split.creditOf(token, treasury), 25);
        _setToken(new PayToken(address(this)));
        Escrow.Job memory foreign = _result();
        _fund(foreign);
        _claimBoth(foreign, 20, 30);
        vm.assertEq(first.balanceOf(provider), MONEY + 20);
        vm.assertEq(token.balanceOf(provider), 30);
    }

    function test_any_parts_add_up(uint96[4] memory parts, bool late) public {
        uint256 paid;
        for (uint256 i = 0; i < 4; ++i) {
            uint256 cumulative = _within(parts[i], 0, AMOUNT);
            if (cumulative <= paid) continue;
            _claim(_it, cumulative);
            paid = cumulative;
            _assertPaid(paid, 0);
        }
        if (paid == AMOUNT) return;
        if (late) {
            vm.warp(DEADLINE);
            escrow.settle(_one(_it));
            _assertPaid(paid, AMOUNT - paid);
        } else {
            escrow.prove(_it, OUTCOME);
            _assertPaid(AMOUNT, 0);
        }
        _assertStanding(_id, Escrow.Stage.Closed, START, late ? 0 : 8, late ? paid : AMOUNT);
    }
}

contract QuorumTest is EscrowFixture {
    function test_two_of_three_evaluators_accept() public {
        bytes32 id = _fund(_panel());
        _claimByEvaluators(_who(0, 2), _panel(), 40e6);
        _assertStanding(id, Escrow.Stage.Funded, START, 0, 40e6);
        _claimByEvaluators(_who(1, 2), _panel(), AMOUNT);
        _assertStanding(id, Escrow.Stage.Closed, START, 0, AMOUNT);
        _assertPaid(AMOUNT, 0);
    }

    function test_the_buyer_accepts_without_the_panel() public {
        _fund(_panel());
        _claim(_panel(), 40e6);
        _assertPaid(40e6, 0);
    }

    function test_one_of_three_is_no_quorum() public {
        _fund(_panel());
        vm.expectRevert(abi.encodeWithSelector(Predicates.QuorumMissed.selector, 1, 2));
        _claimByEvaluators(_who(0), _panel(), 1);
        vm.expectRevert(abi.encodeWithSelector(Predicates.QuorumMissed.selector, 0, 2));
        _claimByEvaluators(new uint256[](0), _panel(), 1);
        _assertPaid(0, 0);
    }

    function test_a_signer_counts_once() public {
        _fund(_panel());
        vm.expectRevert(abi.encodeWithSelector(Predicates.SignersInvalid.selector, 1));
        _claimByEvaluators(_who(1, 1), _panel(), 1);
        vm.expectRevert(abi.encodeWithSelector(Predicates.SignersInvalid.selector, 1));
        _claimByEvaluators(_who(1, 0), _panel(), 1);
    }

    function _approval(uint256 threshold, address[] memory members, address[] memory signers, bytes[] memory signatures)
        private
        returns (bytes memory reason)
    {
        (bool done, bytes memory data) = address(escrow)
            .call(
                abi.encodeCall(
                    escrow.claim,
                    (_one(_panel()), _amounts(1), FOREVER, abi.encode(threshold, members, signers, signatures))
                )
            );
        vm.assertFalse(done);
        return data;
    }

    function _signed(address[] memory signers) private pure returns (bytes[] memory) {
        return new bytes[](signers.length);
    }

    function test_a_stranger_is_no_member() public {
        _fund(_panel());
        address[] memory signers = new address[](2);
        (signers[0], signers[1]) = (_evaluator(0), address(type(uint160).max));
        bytes memory reason = _approval(2, _members(), signers, _signed(signers));
        vm.assertEq(keccak256(reason), keccak256(abi.encodeWithSelector(Predicates.SignersInvalid.selector, 1)));
        (signers[0], signers[1]) = (address(1), _evaluator(0));
        reason = _approval(2, _members(), signers, _signed(signers));
        vm.assertEq(keccak256(reason), keccak256(abi.encodeWithSelector(Predicates.SignersInvalid.selector, 0)));
    }

    function test_the_panel_is_the_one_that_the_job_names() public {
        _fund(_panel());
        address[] memory signers = new address[](1);
        signers[0] = _evaluator(0);
        bytes32 named = _panel().predicate;
        bytes memory reason = _approval(1, _members(), signers, _signed(signers));
        bytes32 given = keccak256(abi.encodePacked(uint256(1), _members()));
        vm.assertEq(keccak256(reason), keccak256(abi.encodeWithSelector(Predicates.HashDiffers.selector, given, named)));
        reason = _approval(2, signers, signers, _signed(signers));
        given = keccak256(abi.encodePacked(uint256(2), signers));
        vm.assertEq(keccak256(reason), keccak256(abi.encodeWithSelector(Predicates.HashDiffers.selector, given, named)));
    }

    function test_a_signature_is_its_signers_own() public {
        _fund(_panel());
        address[] memory signers = new address[](2);
        (signers[0], signers[1]) = (_evaluator(0), _evaluator(1));
        bytes[] memory signatures = new bytes[](2);
        bytes32 digest = _acceptance(_ids(_one(_panel())), _amounts(1), FOREVER);
        (signatures[0], signatures[1]) = (_sign(keys[0], digest), _sign(keys[0], digest));
        bytes memory reason = _approval(2, _members(), signers, signatures);
        vm.assertEq(
            keccak256(reason), keccak256(abi.encodeWithSelector(Predicates.SignatureInvalid.selector, _evaluator(1)))
        );
    }

    function test_a_panel_without_a_threshold_still_needs_a_member() public {
        Escrow.Job memory job = _panel();
        job.predicate = predicates.panelHash(0, _members());
        _fund(job);
        bytes memory approval = abi.encode(0, _members(), new address[](0), new bytes[](0));
        vm.expectRevert(abi.encodeWithSelector(Predicates.QuorumMissed.selector, 0, 0));
        escrow.claim(_one(job), _amounts(1), FOREVER, approval);
    }

    function test_a_panel_ascends_and_has_at_most_32_members() public {
        address[] memory members = new address[](33);
        for (uint256 i = 0; i < 33; ++i) {
            members[i] = address(uint160(i + 1));
        }
        Escrow.Job memory job = _panel();
        job.predicate = predicates.panelHash(1, members);
        bytes memory approval = abi.encode(1, members, new address[](1), new bytes[](1));
        vm.expectRevert(abi.encodeWithSelector(Predicates.OutOfBounds.selector, 33, 0, 32));
        escrow.claim(_one(job), _amounts(1), FOREVER, approval);
        approval = abi.encode(1, members, members, new bytes[](33));
        vm.expectRevert(abi.encodeWithSelector(Predicates.OutOfBounds.selector, 33, 0, 32));
        escrow.claim(_one(job), _amounts(1), FOREVER, approval);
        members = new address[](2);
        (members[0], members[1]) = (_evaluator(0), _evaluator(0));
        job.predicate = predicates.panelHash(1, members);
        approval = abi.encode(1, members, new address[](1), new bytes[](1));
        vm.expectRevert(abi.encodeWithSelector(Predicates.SignersInvalid.selector, 1));
        escrow.claim(_one(job), _amounts(1), FOREVER, approval);
    }

    function test_a_panel_of_32_accepts() public {
        address[] memory members = new address[](32);
        for (uint256 i = 0; i < 32; ++i) {
            members[i] = i == 0 ? _evaluator(0) : address(type(uint160).max - 32 + uint160(i));
        }
        Escrow.Job memory job = _panel();
        job.predicate = predicates.panelHash(1, members);
        _fund(job);
        address[] memory signers = new address[](1);
        bytes[] memory signatures = new bytes[](1);
        signers[0] = _evaluator(0);
        signatures[0] = _sign(keys[0], _acceptance(_ids(_one(job)), _amounts(9), FOREVER));
        escrow.claim(_one(job), _amounts(9), FOREVER, abi.encode(1, members, signers, signatures));
        _assertPaid(9, 0);
    }

    function test_a_member_may_be_a_wallet_that_is_a_contract() public {
        address[] memory members = new address[](1);
        members[0] = address(new Wallet(_evaluator(0)));
        Escrow.Job memory job = _panel();
        job.predicate = predicates.panelHash(1, members);
        _fund(job);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = _sign(keys[0], _acceptance(_ids(_one(job)), _amounts(9), FOREVER));
        escrow.claim(_one(job), _amounts(9), FOREVER, abi.encode(1, members, members, signatures));
        _assertPaid(9, 0);
    }

    function test_evaluators_accept_a_batch_with_one_signature_each() public {
        Escrow.Job memory other = _panel();
        (other.nonce, other.buyer) = (2, stranger);
        _fund(_panel());
        _fund(other);
        Escrow.Job[] memory jobs = _two(_panel(), other);
        bytes memory approval = _byEvaluators(_who(0, 1), jobs, _amounts(AMOUNT, 5));
        escrow.claim(jobs, _amounts(AMOUNT, 5), FOREVER, approval);
        vm.assertEq(token.balanceOf(provider), MONEY + AMOUNT + 5);
    }

    function test_a_batch_by_evaluators_has_one_kind_and_predicate() public {
        Escrow.Job memory other = _panel();
        other.predicate = predicates.panelHash(1, _members());
        Escrow.Job[2] memory others = [other, _staked(1)];
        others[1].predicate = _panel().predicate;
        for (uint256 i = 0; i < 2; ++i) {
            Escrow.Job[] memory jobs = _two(_panel(), others[i]);
            bytes memory approval = _byEvaluators(_who(0, 1), jobs, _amounts(1, 1));
            vm.expectRevert(abi.encodeWithSelector(Escrow.BatchMixed.selector, 1));
            escrow.claim(jobs, _amounts(1, 1), FOREVER, approval);
        }
    }

    function test_evaluators_with_enough_of_the_stake_accept() public {
        _stake(0, 100);
        _stake(1, 100);
        _stake(2, 100);
        Escrow.Job memory job = _staked(666_667);
        _fund(job);
        vm.expectRevert(abi.encodeWithSelector(Predicates.QuorumMissed.selector, 200, 201));
        _claimByEvaluators(_who(0, 1), job, 1);
        _stake(1, 100);
        // 300 of 400 are 750,000 millionths.
        _claimByEvaluators(_who(0, 1), job, AMOUNT);
        _assertPaid(AMOUNT, 0);
    }

    function test_stake_counts_once_and_only_while_it_is_there() public {
        _stake(0, 100);
        _stake(1, 300);
        Escrow.Job memory job = _staked(500_000);
        _fund(job);
        vm.expectRevert(abi.encodeWithSelector(Predicates.SignersInvalid.selector, 1));
        _claimByEvaluators(_who(0, 0), job, 1);
        vm.prank(_evaluator(1));
        stakes.unstake(IStake.Role.Evaluator, 250);
        vm.expectRevert(abi.encodeWithSelector(Predicates.QuorumMissed.selector, 50, 75));
        _claimByEvaluators(_who(1), job, 1);
        _claimByEvaluators(_who(0), job, 1);
    }

    function test_without_any_stake_there_is_no_quorum() public {
        Escrow.Job memory job = _staked(1);
        _fund(job);
        vm.expectRevert(abi.encodeWithSelector(Predicates.QuorumMissed.selector, 0, 0));
        _claimByEvaluators(_who(0, 1), job, 1);
        vm.expectRevert(abi.encodeWithSelector(Predicates.QuorumMissed.selector, 0, 0));
        _claimByEvaluators(new uint256[](0), job, 1);
    }

    function test_silent_evaluators_leave_the_money_to_the_buyer() public {
        _fund(_panel());
        vm.warp(DEADLINE);
        escrow.settle(_one(_panel()));
        _assertPaid(0, AMOUNT);
    }
}

contract ResultTest is EscrowFixture {
    bytes32 private _id;

    function setUp() public override {
        super.setUp();
        _id = _fund(_result());
    }

    function test_the_result_pays_the_provider_whoever_shows_it() public {
        vm.expectEmit(address(escrow));
        emit Escrow.JobJudged(_id, 1, 1);
        vm.expectEmit(address(escrow));
        emit Escrow.JobPaid(_id, provider, AMOUNT, AMOUNT);
        vm.expectEmit(address(escrow));
        emit Escrow.JobClosed(_id, AMOUNT, 0);
        vm.prank(stranger);
        escrow.prove(_result(), OUTCOME);
        _assertPaid(AMOUNT, 0);
        vm.expectRevert(_wrongStage(_id, Escrow.Stage.Closed, Escrow.Stage.Funded));
        escrow.prove(_result(), OUTCOME);
    }

    function test_another_result_is_refused(bytes memory other) public {
        vm.assume(keccak256(other) != keccak256(OUTCOME));
        vm.expectRevert(abi.encodeWithSelector(Predicates.HashDiffers.selector, keccak256(other), keccak256(OUTCOME)));
        escrow.prove(_result(), other);
        _assertPaid(0, 0);
    }

    function test_a_late_result_is_refused() public {
        vm.warp(DEADLINE);
        vm.expectRevert(abi.encodeWithSelector(Escrow.TooLate.selector, _id, DEADLINE, DEADLINE));
        escrow.prove(_result(), OUTCOME);
        vm.warp(DEADLINE - 1);
        escrow.prove(_result(), OUTCOME);
    }

    function test_a_result_pays_what_the_buyer_had_not_accepted_yet() public {
        _claim(_result(), 30e6);
        vm.expectEmit(address(escrow));
        emit Escrow.JobPaid(_id, provider, 70e6, AMOUNT);
        escrow.prove(_result(), OUTCOME);
        _assertPaid(AMOUNT, 0);
    }

    function test_what_needs_signatures_is_not_proven() public {
        Escrow.Job[2] memory others = [_panel(), _staked(1)];
        for (uint256 i = 0; i < 2; ++i) {
            _fund(others[i]);
            vm.expectRevert(abi.encodeWithSelector(Predicates.WrongKind.selector, others[i].kind, RESULT));
            escrow.prove(others[i], OUTCOME);
        }
    }

    function test_a_result_is_not_delivered_in_parts() public {
        vm.expectRevert(abi.encodeWithSelector(Escrow.WrongKind.selector, RESULT, SAMPLED));
        _deliver(_result(), 8, "");
        vm.expectRevert(abi.encodeWithSelector(Escrow.WrongKind.selector, RESULT, SAMPLED));
        _sample(_result(), abi.encodePacked(uint32(1)));
    }
}

contract SampledTest is EscrowFixture {
    bytes32 private _id;

    function setUp() public override {
        super.setUp();
        _id = _fund(_sampled());
    }

    function _ask(uint32 a, uint32 b) private {
        _sample(_sampled(), abi.encodePacked(a, b));
    }

    function test_silence_accepts_a_delivery() public {
        vm.expectEmit(address(escrow));
        emit Escrow.JobDelivered(_id, 8, "");
        _deliver(_sampled(), 8, "");
        _assertStanding(_id, Escrow.Stage.Delivered, START, 8, 0);
        vm.warp(START + 1 days - 1);
        vm.expectRevert(abi.encodeWithSelector(Escrow.TooEarly.selector, _id, START + 1 days, START + 1 days - 1));
        escrow.settle(_one(_sampled()));
        vm.warp(START + 1 days);
        vm.prank(stranger);
        escrow.settle(_one(_sampled()));
        _assertPaid(AMOUNT, 0);
    }

    function test_a_part_that_is_delivered_is_paid_in_proportion() public {
        _deliver(_sampled(), 3, "");
        vm.warp(START + 1 days);
        vm.expectEmit(address(escrow));
        emit Escrow.JobPaid(_id, provider, 37.5e6, 37.5e6);
        vm.expectEmit(address(escrow));
        emit Escrow.JobClosed(_id, 37.5e6, 62.5e6);
        escrow.settle(_one(_sampled()));
        _assertPaid(37.5e6, 62.5e6);
        _assertStanding(_id, Escrow.Stage.Closed, START, 3, 37.5e6);
    }

    function test_what_the_buyer_accepted_before_counts_towards_a_delivery() public {
        _claim(_sampled(), 30e6);
        _deliver(_sampled(), 3, "");
        _assertStanding(_id, Escrow.Stage.Delivered, START, 3, 30e6);
        _claim(_sampled(), 40e6);
        vm.warp(START + 1 days);
        escrow.settle(_one(_sampled()));
        _assertPaid(40e6, 60e6);
    }

    function test_a_delivery_is_declared_by_the_provider_once_before_the_deadline() public {
        vm.expectRevert(abi.encodeWithSelector(Escrow.NotParty.selector, stranger, provider));
        vm.prank(stranger);
        escrow.deliver(_sampled(), 8, "");
        vm.expectRevert(_outOfBounds(0, 1, 8));
        _deliver(_sampled(), 0, "");
        vm.expectRevert(_outOfBounds(9, 1, 8));
        _deliver(_sampled(), 9, "");
        vm.expectRevert(abi.encodeWithSelector(Escrow.LengthDiffers.selector, 1, 0));
        _deliver(_sampled(), 8, "x");
        vm.warp(DEADLINE);
        vm.expectRevert(abi.encodeWithSelector(Escrow.TooLate.selector, _id, DEADLINE, DEADLINE));
        _deliver(_sampled(), 8, "");
        vm.warp(DEADLINE - 1);
        _deliver(_sampled(), 1, "");
        vm.expectRevert(_wrongStage(_id, Escrow.Stage.Delivered, Escrow.Stage.Funded));
        _deliver(_sampled(), 8, "");
    }

    function test_named_units_that_are_opened_accept_the_delivery() public {
        _deliver(_sampled(), 8, "");
        vm.warp(START + 1 hours);
        vm.expectEmit(address(escrow));
        emit Escrow.JobSampled(_id, abi.encodePacked(uint32(2), uint32(7)));
        _ask(2, 7);
        _assertStanding(_id, Escrow.Stage.Sampled, START + 1 hours, 8, 0);
        vm.expectEmit(address(escrow));
        emit Escrow.JobJudged(_id, 2, 2);
        vm.prank(stranger);
        escrow.prove(_sampled(), _opening(2, 7));
        _assertPaid(AMOUNT, 0);
    }

    function test_a_part_that_is_opened_is_paid_in_proportion() public {
        _deliver(_sampled(), 3, "");
        _ask(0, 2);
        escrow.prove(_sampled(), _opening(0, 2));
        _assertPaid(37.5e6, 62.5e6);
    }

    function test_named_units_that_are_not_opened_give_the_money_back() public {
        _deliver(_sampled(), 8, "");
        vm.warp(START + 1 hours);
        _ask(2, 7);
        uint256 end = START + 1 hours + 1 days;
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(Escrow.TooEarly.selector, _id, end, end - 1));
        escrow.settle(_one(_sampled()));
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(Escrow.TooLate.selector, _id, end, end));
        escrow.prove(_sampled(), _opening(2, 7));
        vm.expectEmit(address(escrow));
        emit Escrow.JobClosed(_id, 0, AMOUNT);
        escrow.settle(_one(_sampled()));
        _assertPaid(0, AMOUNT);
    }

    function test_only_the_named_units_open_a_delivery() public {
        _deliver(_sampled(), 8, "");
        _ask(2, 7);
        bytes32 asked = keccak256(abi.encodePacked(uint32(2), uint32(7)));
        bytes32 given = keccak256(abi.encodePacked(uint32(2), uint32(6)));
        vm.expectRevert(abi.encodeWithSelector(Predicates.HashDiffers.selector, given, asked));
        escrow.prove(_sampled(), _opening(2, 6));
        _assertPaid(0, 0);
    }

    function test_another_unit_or_another_place_does_not_open() public {
        _deliver(_sampled(), 8, "");
        _ask(2, 7);
        bytes[] memory units = new bytes[](2);
        (units[0], units[1]) = (_unit(2), _unit(6));
        bytes32[][] memory proofs = new bytes32[][](2);
        (proofs[0], proofs[1]) = (_path(2), _path(6));
        bytes memory positions = abi.encodePacked(uint32(2), uint32(7));
        vm.expectRevert(abi.encodeWithSelector(Predicates.ProofInvalid.selector, 7));
        escrow.prove(_sampled(), abi.encode(positions, units, proofs));
        vm.expectRevert(abi.encodeWithSelector(Predicates.LengthDiffers.selector, 0, 2));
        escrow.prove(_sampled(), abi.encode(positions, new bytes[](0), proofs));
        vm.expectRevert(abi.encodeWithSelector(Predicates.LengthDiffers.selector, 1, 2));
        escrow.prove(_sampled(), abi.encode(positions, units, new bytes32[][](1)));
    }

    function test_units_are_named_by_the_buyer_once_within_the_window() public {
        vm.expectRevert(_wrongStage(_id, Escrow.Stage.Funded, Escrow.Stage.Delivered));
        _ask(2, 7);
        _deliver(_sampled(), 8, "");
        vm.expectRevert(abi.encodeWithSelector(Escrow.NotParty.selector, stranger, buyer));
        vm.prank(stranger);
        escrow.sample(_sampled(), abi.encodePacked(uint32(1)));
        vm.warp(START + 1 days);
        vm.expectRevert(abi.encodeWithSelector(Escrow.TooLate.selector, _id, START + 1 days, START + 1 days));
        _ask(2, 7);
        vm.warp(START + 1 days - 1);
        _ask(2, 7);
        vm.expectRevert(_wrongStage(_id, Escrow.Stage.Sampled, Escrow.Stage.Delivered));
        _ask(2, 7);
    }

    function test_only_delivered_units_can_be_named_in_order() public {
        _deliver(_sampled(), 7, "");
        vm.expectRevert(abi.encodeWithSelector(Predicates.PositionInvalid.selector, 7, 3, 7));
        _ask(2, 7);
        vm.expectRevert(abi.encodeWithSelector(Predicates.PositionInvalid.selector, 2, 3, 7));
        _ask(2, 2);
        vm.expectRevert(abi.encodeWithSelector(Predicates.OutOfBounds.selector, 0, 1, 32));
        _sample(_sampled(), "");
        vm.expectRevert(abi.encodeWithSelector(Predicates.LengthDiffers.selector, 5, 4));
        _sample(_sampled(), hex"0000000100");
        _ask(0, 6);
    }

    function test_spite_costs_at_most_32_openings() public {
        bytes memory positions;
        for (uint32 i = 0; i < 32; ++i) {
            positions = abi.encodePacked(positions, i);
        }
        predicates.requirePositions(positions, 32);
        vm.expectRevert(abi.encodeWithSelector(Predicates.OutOfBounds.selector, 33, 1, 32));
        predicates.requirePositions(abi.encodePacked(positions, uint32(32)), 33);
    }

    function test_a_delivery_that_was_not_questioned_yet_is_not_proven() public {
        _deliver(_sampled(), 8, "");
        vm.expectRevert(_wrongStage(_id, Escrow.Stage.Delivered, Escrow.Stage.Sampled));
        escrow.prove(_sampled(), _opening(2, 7));
    }

    function test_what_was_not_delivered_goes_back_at_the_deadline() public {
        _claim(_sampled(), 30e6);
        vm.warp(DEADLINE - 1);
        vm.expectRevert(abi.encodeWithSelector(Escrow.TooEarly.selector, _id, DEADLINE, DEADLINE - 1));
        escrow.settle(_one(_sampled()));
        vm.warp(DEADLINE);
        escrow.settle(_one(_sampled()));
        _assertPaid(30e6, 70e6);
    }

    function test_a_delivery_just_before_the_deadline_has_its_window() public {
        vm.warp(DEADLINE - 1);
        _deliver(_sampled(), 8, "");
        vm.warp(DEADLINE);
        vm.expectPartialRevert(Escrow.TooEarly.selector);
        escrow.settle(_one(_sampled()));
        _claim(_sampled(), 10e6);
        vm.warp(DEADLINE + 1 days - 1);
        escrow.settle(_one(_sampled()));
        _assertPaid(AMOUNT, 0);
    }

    function test_any_delivery_conserves_the_amount(uint96 amount, uint32 units, uint32 delivered, uint96 before)
        public
    {
        Escrow.Job memory job = _sampled();
        job.amount = uint96(_within(amount, 1, MONEY - AMOUNT));
        job.units = uint32(_within(units, 1, type(uint32).max));
        _fund(job);
        uint256 paid = _within(before, 0, job.amount - 1);
        if (paid != 0) _claim(job, paid);
        delivered = uint32(_within(delivered, 1, job.units));
        _deliver(job, delivered, "");
        vm.warp(START + 1 days);
        escrow.settle(_one(job));
        uint256 due = uint256(job.amount) * delivered / job.units;
        if (due > paid) paid = due;
        vm.assertEq(token.balanceOf(provider), MONEY + paid);
        vm.assertEq(token.balanceOf(buyer), MONEY - AMOUNT - paid);
        vm.assertEq(token.balanceOf(address(escrow)), AMOUNT);
    }
}

contract GoldTest is EscrowFixture {
    bytes32 private _id;

    function setUp() public override {
        super.setUp();
        _id = _fund(_gold());
    }

    function _evidence(bytes memory test, bytes memory answers) private pure returns (bytes memory) {
        return abi.encode(test, answers);
    }

    function test_answers_that_pass_the_test_are_paid() public {
        vm.expectEmit(address(escrow));
        emit Escrow.JobDelivered(_id, 8, ANSWERS);
        _deliver(_gold(), 8, ANSWERS);
        _assertStanding(_id, Escrow.Stage.Delivered, START, 8, 0);
        vm.expectEmit(address(escrow));
        emit Escrow.JobJudged(_id, 2, 2);
        vm.prank(stranger);
        escrow.prove(_gold(), _evidence(_test(2), ANSWERS));
        _assertPaid(AMOUNT, 0);
    }

    function test_answers_that_fail_the_test_give_the_money_back() public {
        Escrow.Job memory job = _gold();
        (job.nonce, job.predicate) = (2, keccak256(_test(3)));
        _fund(job);
        _deliver(job, 8, ANSWERS);
        bytes32 id = _ids(_one(job))[0];
        vm.expectEmit(address(escrow));
        emit Escrow.JobJudged(id, 2, 3);
        vm.expectEmit(address(escrow));
        emit Escrow.JobClosed(id, 0, AMOUNT);
        escrow.prove(job, _evidence(_test(3), ANSWERS));
        vm.assertEq(token.balanceOf(provider), MONEY);
        vm.assertEq(token.balanceOf(buyer), MONEY - AMOUNT);
        _assertStanding(id, Escrow.Stage.Closed, START, 8, 0);
    }

    function test_a_failed_test_takes_back_nothing_that_was_accepted() public {
        Escrow.Job memory job = _gold();
        (job.nonce, job.predicate) = (2, keccak256(_test(3)));
        _fund(job);
        _claim(job, 10e6);
        _deliver(job, 8, ANSWERS);
        escrow.prove(job, _evidence(_test(3), ANSWERS));
        vm.assertEq(token.balanceOf(provider), MONEY + 10e6);
        vm.assertEq(token.balanceOf(buyer), MONEY - AMOUNT - 10e6);
    }

    function test_silence_accepts_the_answers() public {
        _deliver(_gold(), 8, ANSWERS);
        vm.warp(START + 1 days - 1);
        vm.expectPartialRevert(Escrow.TooEarly.selector);
        escrow.settle(_one(_gold()));
        vm.warp(START + 1 days);
        vm.expectRevert(abi.encodeWithSelector(Escrow.TooLate.selector, _id, START + 1 days, START + 1 days));
        escrow.prove(_gold(), _evidence(_test(2), ANSWERS));
        escrow.settle(_one(_gold()));
        _assertPaid(AMOUNT, 0);
    }

    function test_all_units_are_answered_with_a_byte_each() public {
        vm.expectRevert(_outOfBounds(7, 8, 8));
        _deliver(_gold(), 7, hex"01020304010203");
        vm.expectRevert(abi.encodeWithSelector(Escrow.LengthDiffers.selector, 7, 8));
        _deliver(_gold(), 8, hex"01020304010203");
        vm.expectRevert(abi.encodeWithSelector(Escrow.NotParty.selector, stranger, provider));
        vm.prank(stranger);
        escrow.deliver(_gold(), 8, ANSWERS);
    }

    function test_the_test_is_the_one_that_was_committed_to() public {
        _deliver(_gold(), 8, ANSWERS);
        vm.expectRevert(
            abi.encodeWithSelector(Predicates.HashDiffers.selector, keccak256(_test(3)), keccak256(_test(2)))
        );
        escrow.prove(_gold(), _evidence(_test(3), ANSWERS));
        bytes memory others = hex"0102030501020304";
        vm.expectRevert(abi.encodeWithSelector(Predicates.HashDiffers.selector, keccak256(others), keccak256(ANSWERS)));
        escrow.prove(_gold(), _evidence(_test(2), others));
    }

    function test_a_test_is_not_opened_before_the_answers_are_in() public {
        vm.expectRevert(_wrongStage(_id, Escrow.Stage.Funded, Escrow.Stage.Delivered));
        escrow.prove(_gold(), _evidence(_test(2), ANSWERS));
    }

    function test_answers_are_not_sampled() public {
        _deliver(_gold(), 8, ANSWERS);
        vm.expectRevert(abi.encodeWithSelector(Escrow.WrongKind.selector, GOLD, SAMPLED));
        _sample(_gold(), abi.encodePacked(uint32(1)));
    }

    function _grade(bytes memory test) private view returns (uint256, uint256) {
        return predicates.judge(GOLD, keccak256(test), keccak256(ANSWERS), _evidence(test, ANSWERS));
    }

    function test_a_malformed_test_cannot_be_opened_so_silence_accepts() public {
        bytes memory head = abi.encodePacked(bytes32("salt"), uint16(1));
        vm.expectRevert(abi.encodeWithSelector(Predicates.OutOfBounds.selector, 34, 39, 34 + 5 * 256));
        _grade(head);
        vm.expectRevert(abi.encodeWithSelector(Predicates.PositionInvalid.selector, 8, 0, 8));
        _grade(abi.encodePacked(head, uint32(8), hex"01"));
        vm.expectRevert(abi.encodeWithSelector(Predicates.PositionInvalid.selector, 3, 4, 8));
        _grade(abi.encodePacked(head, uint32(3), hex"04", uint32(3), hex"04"));
        vm.expectRevert(abi.encodeWithSelector(Predicates.OutOfBounds.selector, 34 + 5 * 257, 39, 34 + 5 * 256));
        _grade(abi.encodePacked(head, new bytes(5 * 257)));
        (uint256 right, uint256 required) = _grade(abi.encodePacked(head, uint32(7), hex"04", "rest"));
        vm.assertEq(right, 1);
        vm.assertEq(required, 1);
    }

    function test_right_answers_are_counted(bytes32 seed, uint16 least) public view {
        bytes memory test = abi.encodePacked(bytes32("salt"), least);
        uint256 right;
        for (uint256 i = 0; i < 8; ++i) {
            if (uint8(seed[i]) % 2 == 0) continue;
            bytes1 said = bytes1(uint8(seed[8 + i]) % 4 + 1);
            if (said == ANSWERS[i]) ++right;
            test = abi.encodePacked(test, uint32(i), said);
        }
        if (test.length == 34) return;
        (uint256 counted, uint256 required) = _grade(test);
        vm.assertEq(counted, right);
        vm.assertEq(required, least);
    }
}

contract EndingTest is EscrowFixture {
    function test_a_provider_gives_a_job_up_at_any_stage() public {
        bytes32 id = _fund(_sampled());
        _claim(_sampled(), 10e6);
        vm.expectRevert(abi.encodeWithSelector(Escrow.NotParty.selector, buyer, provider));
        vm.prank(buyer);
        escrow.decline(_sampled());
        vm.expectEmit(address(escrow));
        emit Escrow.JobClosed(id, 10e6, 90e6);
        vm.prank(provider);
        escrow.decline(_sampled());
        _assertPaid(10e6, 90e6);
        vm.expectRevert(_wrongStage(id, Escrow.Stage.Closed, Escrow.Stage.Funded));
        vm.prank(provider);
        escrow.decline(_sampled());
    }

    function test_a_delivery_can_be_given_up() public {
        _fund(_sampled());
        _deliver(_sampled(), 8, "");
        vm.prank(provider);
        escrow.decline(_sampled());
        _assertPaid(0, AMOUNT);
    }

    function test_a_job_that_was_not_funded_has_no_end() public {
        bytes32 id = _ids(_one(_result()))[0];
        bytes memory reason = _wrongStage(id, Escrow.Stage.None, Escrow.Stage.Funded);
        vm.warp(DEADLINE);
        vm.expectRevert(reason);
        escrow.settle(_one(_result()));
        vm.expectRevert(reason);
        vm.prank(provider);
        escrow.decline(_result());
        vm.expectRevert(_outOfBounds(0, 1, type(uint256).max));
        escrow.settle(new Escrow.Job[](0));
    }

    function test_money_goes_back_once() public {
        bytes32 id = _fund(_result());
        vm.warp(DEADLINE);
        escrow.settle(_one(_result()));
        vm.expectRevert(_wrongStage(id, Escrow.Stage.Closed, Escrow.Stage.Funded));
        escrow.settle(_one(_result()));
        vm.expectRevert(Escrow.NothingToDo.selector);
        escrow.settle(_two(_result(), _result()));
        _assertPaid(0, AMOUNT);
    }

    function test_a_batch_ends_what_is_due_and_leaves_out_the_rest() public {
        Escrow.Job memory later = _panel();
        later.deadline = DEADLINE + 1;
        _fund(_two(_result(), later));
        vm.warp(DEADLINE);
        escrow.settle(_two(later, _result()));
        vm.assertEq(token.balanceOf(buyer), MONEY - AMOUNT);
        vm.expectRevert(Escrow.NothingToDo.selector);
        escrow.settle(_two(later, _result()));
        vm.warp(DEADLINE + 1);
        escrow.settle(_two(_result(), later));
        vm.assertEq(token.balanceOf(buyer), MONEY);
        vm.assertEq(token.balanceOf(address(escrow)), 0);
    }

    function test_pay_goes_to_the_shares_that_the_job_names() public {
        Escrow.Job memory job = _result();
        job.splitKey = KEY;
        _setShares(KEY, _shares(provider, 600_000, stranger, 300_000));
        _fund(job);
        escrow.prove(job, OUTCOME);
        vm.assertEq(split.creditOf(token, provider), 60e6);
        vm.assertEq(split.creditOf(token, stranger), 30e6);
        vm.assertEq(split.creditOf(token, treasury), 10e6);
        vm.assertEq(token.balanceOf(provider), MONEY);
        vm.assertEq(token.allowance(address(escrow), address(split)), 0);
    }

    function test_a_token_that_is_ending_still_pays_out() public {
        Escrow.Job memory job = _result();
        job.splitKey = KEY;
        _fund(_two(job, _panel()));
        vm.prank(owner);
        split.setToken(token, false);
        escrow.prove(job, OUTCOME);
        vm.assertEq(split.creditOf(token, treasury), AMOUNT);
        vm.warp(DEADLINE);
        escrow.settle(_one(_panel()));
        vm.assertEq(token.balanceOf(buyer), MONEY - AMOUNT);
    }

    function test_a_receiver_that_cannot_be_paid_stops_nobody() public {
        BlockingToken blocking = new BlockingToken(address(this));
        _setToken(blocking);
        Escrow.Job memory other = _result();
        (other.provider, other.nonce) = (stranger, 2);
        Escrow.Job[] memory jobs = _two(_result(), other);
        _fund(jobs);
        blocking.setBlocked(provider, true);
        bytes memory approval = _byBuyer(BUYER_KEY, jobs, _amounts(30e6, 40e6), FOREVER);
        escrow.claim(jobs, _amounts(30e6, 40e6), FOREVER, approval);
        vm.assertEq(token.balanceOf(stranger), 40e6);
        vm.assertEq(split.creditOf(token, provider), 30e6);
        blocking.setBlocked(buyer, true);
        vm.warp(DEADLINE);
        escrow.settle(jobs);
        vm.assertEq(split.creditOf(token, buyer), 130e6);
        vm.assertEq(token.balanceOf(address(escrow)), 0);
        blocking.setBlocked(buyer, false);
        split.withdraw(buyer, token);
        vm.assertEq(token.balanceOf(buyer), MONEY - 70e6);
    }

    function test_a_hostile_token_cannot_come_back() public {
        ReentrantToken hostile = new ReentrantToken(address(this));
        _setToken(hostile);
        Escrow.Job memory target = _panel();
        _fund(target);
        bytes memory inner = abi.encodeCall(escrow.claim, (_one(target), _amounts(1), FOREVER, hex""));
        Escrow.Job memory job = _result();
        hostile.arm(address(escrow), inner);
        _fund(job);
        _assertRefused(hostile);
        hostile.arm(address(escrow), inner);
        _claim(job, 1);
        _assertRefused(hostile);
        hostile.arm(address(escrow), inner);
        escrow.prove(job, OUTCOME);
        _assertRefused(hostile);
        job.nonce = 2;
        Authorization memory authorization =
            _authorize(BUYER_KEY, address(escrow), AMOUNT, keccak256(abi.encodePacked(_ids(_one(job)))));
        hostile.arm(address(escrow), inner);
        escrow.fundByAuthorization(_one(job), authorization);
        _assertRefused(hostile);
        hostile.arm(address(escrow), inner);
        vm.prank(provider);
        escrow.decline(job);
        _assertRefused(hostile);
        vm.warp(DEADLINE);
        hostile.arm(address(escrow), inner);
        escrow.settle(_one(target));
        _assertRefused(hostile);
        vm.assertEq(token.balanceOf(address(escrow)), 0);
    }

    function _assertRefused(ReentrantToken hostile) private view {
        vm.assertFalse(hostile.reentered());
        vm.assertEq(keccak256(hostile.refusal()), REENTERED);
    }

    function test_predicates_know_the_stakes() public {
        vm.expectRevert(Predicates.ZeroAddress.selector);
        new Predicates(IStake(address(0)));
        vm.assertEq(address(predicates.stakes()), address(stakes));
        vm.assertEq(predicates.panelHash(2, _members()), _panel().predicate);
        vm.assertEq(predicates.unitLeaf(3, _unit(3)), _node(3, 1));
        vm.assertEq(predicates.MAX_NAMED(), 32);
        vm.assertEq(predicates.MAX_TEST(), 256);
    }
}
