// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {IStake} from "../src/IStake.sol";
import {Authorization, Money} from "../src/Money.sol";
import {Stake} from "../src/Stake.sol";
import {FeeToken, MarketFixture, ReentrantToken} from "./MarketFixture.sol";

contract StakeTest is MarketFixture {
    IStake.Role private constant EVALUATOR = IStake.Role.Evaluator;
    bytes32 private constant FAULT = keccak256("fault");

    address private _node;

    function setUp() public override {
        super.setUp();
        _node = _evaluator(0);
    }

    function _unstake(uint96 amount) private {
        vm.prank(_node);
        stakes.unstake(EVALUATOR, amount);
    }

    function _slash(uint96 amount, bytes32 faultId) private {
        vm.prank(owner);
        stakes.slash(EVALUATOR, _node, amount, faultId);
    }

    function _assertPosition(uint256 staked, uint256 leaving, uint256 freeAt) private view {
        Stake.Position memory position = stakes.positionOf(EVALUATOR, _node);
        vm.assertEq(position.staked, staked);
        vm.assertEq(position.leaving, leaving);
        vm.assertEq(position.freeAt, freeAt);
        vm.assertEq(stakes.stakeOf(EVALUATOR, _node), staked);
        vm.assertEq(stakes.totalStake(EVALUATOR), staked);
        vm.assertEq(stakes.totalHeld(), staked + leaving);
        vm.assertEq(token.balanceOf(address(stakes)), staked + leaving);
    }

    function test_a_stake_is_put_down_for_a_role() public {
        vm.expectEmit(address(stakes));
        emit Stake.Staked(EVALUATOR, _node, 100);
        _stake(0, 100);
        _stake(0, 50);
        _assertPosition(150, 0, 0);
        vm.assertEq(stakes.stakeOf(IStake.Role.Keeper, _node), 0);
        vm.assertEq(stakes.totalStake(IStake.Role.Keeper), 0);
        vm.prank(_node);
        stakes.stake(IStake.Role.Keeper, 7);
        vm.assertEq(stakes.stakeOf(IStake.Role.Keeper, _node), 7);
        vm.assertEq(stakes.totalHeld(), 157);
    }

    function test_a_stake_has_a_role_and_an_amount() public {
        vm.expectRevert(Stake.RoleRequired.selector);
        vm.prank(_node);
        stakes.stake(IStake.Role.None, 1);
        vm.expectRevert(Stake.ZeroAmount.selector);
        _stake(0, 0);
    }

    function test_a_stake_by_authorization_is_sent_by_anyone() public {
        Authorization memory authorization =
            _authorize(keys[0], address(stakes), 100, stakes.stakeNonce(EVALUATOR, "salt"));
        vm.prank(stranger);
        stakes.stakeByAuthorization(EVALUATOR, _node, 100, "salt", authorization);
        _assertPosition(100, 0, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                ERC3009.ERC3009UsedAuthorization.selector, _node, stakes.stakeNonce(EVALUATOR, "salt")
            )
        );
        stakes.stakeByAuthorization(EVALUATOR, _node, 100, "salt", authorization);
        _assertPosition(100, 0, 0);
    }

    function test_an_authorization_is_good_for_one_role_and_contract() public {
        Authorization memory authorization =
            _authorize(keys[0], address(stakes), 100, stakes.stakeNonce(EVALUATOR, "salt"));
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        stakes.stakeByAuthorization(IStake.Role.Keeper, _node, 100, "salt", authorization);
        Stake other = new Stake(owner, IPayToken(address(token)), treasury);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        other.stakeByAuthorization(EVALUATOR, _node, 100, "salt", authorization);
        _assertPosition(0, 0, 0);
    }

    function test_what_is_taken_out_waits_longer_than_any_challenge_or_round() public {
        // Rewards.MAX_WINDOW is 30 days.
        vm.assertGe(stakes.UNBONDING(), 30 days + uint256(stakes.MAX_ROUND()), "unbonding");
        _stake(0, 100);
        uint64 freeAt = uint64(START) + 60 days;
        vm.expectEmit(address(stakes));
        emit Stake.Unstaked(EVALUATOR, _node, 40, freeAt);
        _unstake(40);
        _assertPosition(60, 40, freeAt);
        vm.warp(freeAt - 1);
        vm.expectRevert(abi.encodeWithSelector(Stake.StillBound.selector, freeAt, freeAt - 1));
        stakes.withdraw(EVALUATOR, _node);
        vm.warp(freeAt);
        vm.expectEmit(address(stakes));
        emit Stake.Withdrawn(EVALUATOR, _node, 40);
        vm.prank(stranger);
        stakes.withdraw(EVALUATOR, _node);
        _assertPosition(60, 0, 0);
        vm.assertEq(token.balanceOf(_node), MONEY - 60);
        vm.expectRevert(abi.encodeWithSelector(Stake.NothingLeaving.selector, EVALUATOR, _node));
        stakes.withdraw(EVALUATOR, _node);
    }

    function test_taking_out_more_starts_the_wait_anew() public {
        _stake(0, 100);
        _unstake(40);
        vm.warp(START + 59 days);
        _unstake(1);
        _assertPosition(59, 41, START + 119 days);
        vm.warp(START + 60 days);
        vm.expectPartialRevert(Stake.StillBound.selector);
        stakes.withdraw(EVALUATOR, _node);
    }

    function test_no_more_is_taken_out_than_is_at_stake() public {
        _stake(0, 100);
        vm.expectRevert(abi.encodeWithSelector(Stake.StakeTooSmall.selector, _node, 100, 101));
        _unstake(101);
        vm.expectRevert(Stake.ZeroAmount.selector);
        _unstake(0);
        _unstake(100);
        _assertPosition(0, 100, START + 60 days);
    }

    function test_a_slash_takes_what_is_leaving_first_and_goes_to_the_treasury() public {
        _stake(0, 100);
        _unstake(40);
        vm.expectEmit(address(stakes));
        emit Stake.Slashed(FAULT, EVALUATOR, _node, 30, 0);
        _slash(30, FAULT);
        _assertPosition(60, 10, START + 60 days);
        vm.assertEq(token.balanceOf(treasury), 30);
        vm.assertTrue(stakes.punished(FAULT));
        vm.expectEmit(address(stakes));
        emit Stake.Slashed("more", EVALUATOR, _node, 10, 15);
        _slash(25, "more");
        _assertPosition(45, 0, START + 60 days);
        vm.assertEq(token.balanceOf(treasury), 55);
    }

    function test_a_fault_is_punished_once() public {
        _stake(0, 100);
        _slash(30, FAULT);
        vm.expectRevert(abi.encodeWithSelector(Stake.FaultKnown.selector, FAULT));
        _slash(30, FAULT);
        vm.expectRevert(abi.encodeWithSelector(Stake.FaultKnown.selector, FAULT));
        vm.prank(owner);
        stakes.slash(IStake.Role.Keeper, _node, 1, FAULT);
        _assertPosition(70, 0, 0);
    }

    function test_unstaking_before_a_slash_saves_nothing() public {
        _stake(0, 100);
        _unstake(100);
        vm.warp(START + 100 days);
        _slash(100, FAULT);
        _assertPosition(0, 0, START + 60 days);
        vm.assertEq(token.balanceOf(treasury), 100);
        vm.expectRevert(abi.encodeWithSelector(Stake.NothingLeaving.selector, EVALUATOR, _node));
        stakes.withdraw(EVALUATOR, _node);
    }

    function test_a_slash_takes_at_most_what_is_held() public {
        _stake(0, 100);
        _unstake(40);
        _slash(1000, FAULT);
        _assertPosition(0, 0, START + 60 days);
        vm.assertEq(token.balanceOf(treasury), 100);
        vm.expectRevert(abi.encodeWithSelector(Stake.NothingToSlash.selector, EVALUATOR, _node));
        _slash(1, "more");
        vm.assertFalse(stakes.punished("more"));
    }

    function test_any_slash_conserves_what_is_held(uint96 stake, uint96 out, uint96 cut) public {
        stake = uint96(_within(stake, 1, MONEY));
        out = uint96(_within(out, 0, stake));
        cut = uint96(_within(cut, 1, 2 * MONEY));
        _stake(0, stake);
        if (out != 0) _unstake(out);
        _slash(cut, FAULT);
        uint256 taken = cut < stake ? cut : stake;
        vm.assertEq(token.balanceOf(treasury), taken);
        uint256 leaving = cut < out ? out - cut : 0;
        _assertPosition(stake - taken - leaving, leaving, out == 0 ? 0 : START + 60 days);
    }

    function test_only_the_owner_slashes_and_says_for_what() public {
        _stake(0, 100);
        vm.expectRevert(_notOwner(stranger));
        vm.prank(stranger);
        stakes.slash(EVALUATOR, _node, 1, FAULT);
        vm.expectRevert(Stake.ZeroHash.selector);
        _slash(1, 0);
        vm.expectRevert(Stake.ZeroAmount.selector);
        _slash(0, FAULT);
        _assertPosition(100, 0, 0);
    }

    function test_stakes_have_a_token_and_a_treasury() public {
        vm.expectRevert(Stake.ZeroAddress.selector);
        new Stake(owner, IPayToken(address(0)), treasury);
        vm.expectRevert(Stake.ZeroAddress.selector);
        new Stake(owner, IPayToken(address(token)), address(0));
        vm.assertEq(address(stakes.token()), address(token));
        vm.assertEq(stakes.treasury(), treasury);
        vm.assertEq(stakes.owner(), owner);
    }

    function test_a_token_that_takes_a_fee_is_refused() public {
        _setToken(new FeeToken(address(this)));
        Stake other = new Stake(owner, IPayToken(address(token)), treasury);
        vm.prank(buyer);
        token.approve(address(other), 100);
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, 99, 100));
        vm.prank(buyer);
        other.stake(EVALUATOR, 100);
        Authorization memory authorization =
            _authorize(BUYER_KEY, address(other), 100, other.stakeNonce(EVALUATOR, "salt"));
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, 99, 100));
        other.stakeByAuthorization(EVALUATOR, buyer, 100, "salt", authorization);
        vm.assertEq(other.totalHeld(), 0);
    }

    function test_a_hostile_token_cannot_come_back() public {
        ReentrantToken hostile = new ReentrantToken(address(this));
        _setToken(hostile);
        Stake other = new Stake(address(this), IPayToken(address(token)), treasury);
        vm.prank(buyer);
        token.approve(address(other), 1000);
        vm.prank(buyer);
        other.stake(EVALUATOR, 100);
        vm.prank(buyer);
        other.unstake(EVALUATOR, 50);
        vm.warp(START + 60 days);
        bytes memory draw = abi.encodeCall(other.withdraw, (EVALUATOR, buyer));
        hostile.arm(address(other), draw);
        other.withdraw(EVALUATOR, buyer);
        _assertRefused(hostile);
        hostile.arm(address(other), draw);
        other.slash(EVALUATOR, buyer, 10, FAULT);
        _assertRefused(hostile);
        hostile.arm(address(other), draw);
        vm.prank(buyer);
        other.stake(EVALUATOR, 10);
        _assertRefused(hostile);
        Authorization memory authorization =
            _authorize(BUYER_KEY, address(other), 10, other.stakeNonce(EVALUATOR, "salt"));
        hostile.arm(address(other), draw);
        other.stakeByAuthorization(EVALUATOR, buyer, 10, "salt", authorization);
        _assertRefused(hostile);
        vm.assertEq(other.totalHeld(), 60);
        vm.assertEq(token.balanceOf(address(other)), 60);
    }

    function _assertRefused(ReentrantToken hostile) private view {
        vm.assertFalse(hostile.reentered());
        vm.assertEq(keccak256(hostile.refusal()), REENTERED);
    }
}

contract RoundsTest is MarketFixture {
    IStake.Role private constant EVALUATOR = IStake.Role.Evaluator;
    uint64 private constant COMMIT_BY = uint64(START) + 1 hours;
    uint64 private constant REVEAL_BY = uint64(START) + 2 hours;

    bytes32 private _round;

    function setUp() public override {
        super.setUp();
        _stake(0, 100);
        _stake(1, 200);
        _stake(2, 250);
        _round = stakes.openRound("turn 1", COMMIT_BY, REVEAL_BY, 50);
    }

    function _commit(uint256 i, uint96 score) private {
        address node = _evaluator(i);
        bytes32 commitment = keccak256(abi.encode(block.chainid, stakes, _round, node, score, bytes32("salt")));
        vm.prank(node);
        stakes.commit(_round, commitment, 0);
    }

    function _reveal(uint256 i, uint96 score) private {
        vm.prank(_evaluator(i));
        stakes.reveal(_round, score, "salt");
    }

    function _play(uint96 a, uint96 b, uint96 c) private {
        _commit(0, a);
        _commit(1, b);
        _commit(2, c);
        vm.warp(COMMIT_BY);
        _reveal(0, a);
        _reveal(1, b);
        _reveal(2, c);
        vm.warp(REVEAL_BY);
    }

    function test_a_round_ends_with_the_stake_weighted_median() public {
        // Weights 100, 200, 250: half of 550 is reached at the second of the sorted scores 10, 20, 30.
        _play(20, 10, 30);
        vm.expectEmit(address(stakes));
        emit Stake.RoundResult(_round, 20, 550, 3);
        vm.prank(stranger);
        stakes.closeRound(_round, 20);
        Stake.Result memory result = stakes.resultOf(_round);
        vm.assertEq(result.median, 20);
        vm.assertEq(result.weight, 550);
        Stake.Round memory round = stakes.roundOf(_round);
        vm.assertTrue(round.closed);
        vm.assertEq(round.seats, 3);
        vm.assertEq(round.revealed, 3);
    }

    function test_a_minority_of_stake_moves_the_median_no_further_than_honest_scores() public {
        _play(500, 501, 1e18);
        stakes.closeRound(_round, 501);
    }

    function test_only_the_median_is_taken() public {
        _play(20, 10, 30);
        vm.expectRevert(abi.encodeWithSelector(Stake.NotMedian.selector, _round, 10, 0, 200, 550));
        stakes.closeRound(_round, 10);
        vm.expectRevert(abi.encodeWithSelector(Stake.NotMedian.selector, _round, 30, 300, 550, 550));
        stakes.closeRound(_round, 30);
        vm.expectRevert(abi.encodeWithSelector(Stake.NotMedian.selector, _round, 21, 300, 300, 550));
        stakes.closeRound(_round, 21);
        vm.expectRevert(abi.encodeWithSelector(Stake.NotMedian.selector, _round, 19, 200, 200, 550));
        stakes.closeRound(_round, 19);
        stakes.closeRound(_round, 20);
        vm.expectRevert(abi.encodeWithSelector(Stake.RoundClosed.selector, _round, 20));
        stakes.closeRound(_round, 20);
    }

    function test_at_an_even_split_the_lower_score_is_the_median() public {
        vm.prank(_evaluator(2));
        stakes.unstake(EVALUATOR, 150);
        vm.prank(_evaluator(0));
        stakes.stake(EVALUATOR, 100);
        vm.prank(_evaluator(2));
        stakes.stake(EVALUATOR, 300);
        _play(1, 2, 3); // weights 200, 200, 400
        vm.expectPartialRevert(Stake.NotMedian.selector);
        stakes.closeRound(_round, 3);
        stakes.closeRound(_round, 2);
    }

    function test_exactly_one_score_passes_as_median(uint96[3] memory scores, uint96[3] memory weights, uint96 guess)
        public
    {
        for (uint256 i = 0; i < 3; ++i) {
            scores[i] = uint96(_within(scores[i], 0, 4));
            _stake(i, uint96(_within(weights[i], 1, 1000)));
        }
        _play(scores[0], scores[1], scores[2]);
        uint96 median = _median(scores);
        guess = uint96(_within(guess, 0, 5));
        if (guess != median) vm.expectPartialRevert(Stake.NotMedian.selector);
        stakes.closeRound(_round, guess);
        if (guess == median) vm.assertEq(stakes.resultOf(_round).median, median);
    }

    /// @dev The definition: the smallest score whose weight, with all below, is at least half.
    function _median(uint96[3] memory scores) private view returns (uint96 median) {
        while (2 * _weightUpTo(scores, median) < stakes.totalStake(EVALUATOR)) ++median;
    }

    function _weightUpTo(uint96[3] memory scores, uint96 score) private view returns (uint256 weight) {
        for (uint256 i = 0; i < 3; ++i) {
            if (scores[i] <= score) weight += stakes.stakeOf(EVALUATOR, _evaluator(i));
        }
    }

    function test_a_round_is_opened_once_and_named_by_its_opener() public {
        bytes32 id = keccak256(abi.encode(block.chainid, address(stakes), address(this), bytes32("turn 1")));
        vm.assertEq(_round, id);
        vm.expectRevert(abi.encodeWithSelector(Stake.RoundKnown.selector, _round));
        stakes.openRound("turn 1", COMMIT_BY, REVEAL_BY, 50);
        id = stakes.roundId(stranger, "turn 1");
        vm.expectEmit(address(stakes));
        emit Stake.RoundOpened(id, stranger, "turn 1", COMMIT_BY, REVEAL_BY, 50);
        vm.prank(stranger);
        vm.assertEq(stakes.openRound("turn 1", COMMIT_BY, REVEAL_BY, 50), id);
    }

    function _refuseTimes(uint256 commitBy, uint256 revealBy) private {
        vm.expectRevert(
            abi.encodeWithSelector(Stake.DeadlinesInvalid.selector, commitBy, revealBy, START, START + 30 days)
        );
        stakes.openRound("other", uint64(commitBy), uint64(revealBy), 50);
    }

    function test_the_deadlines_of_a_round_have_bounds() public {
        _refuseTimes(START, START + 1);
        _refuseTimes(START + 1, START + 1);
        _refuseTimes(START + 1, START + 30 days + 1);
        stakes.openRound("other", uint64(START) + 1, uint64(START) + 30 days, 50);
        stakes.openRound("short", uint64(START) + 1, uint64(START) + 2, 50);
        vm.expectRevert(Stake.ZeroAmount.selector);
        stakes.openRound("no stake", COMMIT_BY, REVEAL_BY, 0);
    }

    function test_a_commitment_is_made_once_before_its_deadline() public {
        bytes32 commitment = stakes.commitmentOf(_round, _evaluator(0), 1, "salt");
        vm.expectEmit(address(stakes));
        emit Stake.Committed(_round, _evaluator(0), 1, 100, commitment, address(0));
        _commit(0, 1);
        vm.assertEq(stakes.seatOf(_round, 1), _evaluator(0));
        Stake.Voice memory voice = stakes.voiceOf(_round, _evaluator(0));
        vm.assertEq(voice.weight, 100);
        vm.assertEq(voice.seat, 1);
        vm.assertEq(voice.commitment, commitment);
        vm.assertFalse(voice.revealed);
        vm.expectRevert(abi.encodeWithSelector(Stake.SeatTaken.selector, _round, _evaluator(0)));
        _commit(0, 2);
        vm.warp(COMMIT_BY);
        vm.expectRevert(abi.encodeWithSelector(Stake.TooLate.selector, _round, COMMIT_BY, COMMIT_BY));
        _commit(1, 1);
    }

    function test_a_commitment_needs_stake_and_a_hash() public {
        vm.expectRevert(abi.encodeWithSelector(Stake.StakeTooSmall.selector, stranger, 0, 50));
        vm.prank(stranger);
        stakes.commit(_round, "commitment", 0);
        vm.expectRevert(Stake.ZeroHash.selector);
        vm.prank(_evaluator(0));
        stakes.commit(_round, 0, 0);
        vm.prank(_evaluator(0));
        stakes.unstake(EVALUATOR, 51);
        vm.expectRevert(abi.encodeWithSelector(Stake.StakeTooSmall.selector, _evaluator(0), 49, 50));
        _commit(0, 1);
        vm.prank(_evaluator(0));
        stakes.stake(EVALUATOR, 1);
        _commit(0, 1);
    }

    function test_stake_of_another_role_has_no_voice() public {
        vm.prank(stranger);
        stakes.stake(IStake.Role.Keeper, 1000);
        vm.expectRevert(abi.encodeWithSelector(Stake.StakeTooSmall.selector, stranger, 0, 50));
        vm.prank(stranger);
        stakes.commit(_round, "commitment", 0);
    }

    function test_a_copied_commitment_is_worth_nothing() public {
        _commit(0, 42);
        bytes32 copied = stakes.voiceOf(_round, _evaluator(0)).commitment;
        vm.prank(_evaluator(1));
        stakes.commit(_round, copied, 0);
        vm.warp(COMMIT_BY);
        _reveal(0, 42);
        vm.expectRevert(abi.encodeWithSelector(Stake.CommitmentDiffers.selector, _round, _evaluator(1)));
        _reveal(1, 42);
    }

    function test_a_commitment_opens_with_its_score_and_salt_in_its_round_chain_and_contract() public {
        bytes32 commitment = stakes.commitmentOf(_round, _evaluator(0), 42, "salt");
        vm.assertEq(
            commitment,
            keccak256(abi.encode(block.chainid, address(stakes), _round, _evaluator(0), uint96(42), bytes32("salt")))
        );
        _commit(0, 42);
        vm.warp(COMMIT_BY);
        bytes memory reason = abi.encodeWithSelector(Stake.CommitmentDiffers.selector, _round, _evaluator(0));
        vm.expectRevert(reason);
        _reveal(0, 43);
        vm.expectRevert(reason);
        vm.prank(_evaluator(0));
        stakes.reveal(_round, 42, "pepper");
        vm.chainId(31337);
        vm.expectRevert(reason);
        _reveal(0, 42);
        vm.chainId(0x726f6461);
        vm.expectEmit(address(stakes));
        emit Stake.Revealed(_round, _evaluator(0), 42, 100);
        _reveal(0, 42);
        Stake.Voice memory voice = stakes.voiceOf(_round, _evaluator(0));
        vm.assertTrue(voice.revealed);
        vm.assertEq(voice.score, 42);
        vm.assertEq(voice.commitment, bytes32(0));
    }

    function test_a_score_is_revealed_once_between_the_deadlines() public {
        _commit(0, 1);
        _commit(1, 1);
        vm.warp(COMMIT_BY - 1);
        vm.expectRevert(abi.encodeWithSelector(Stake.TooEarly.selector, _round, COMMIT_BY, COMMIT_BY - 1));
        _reveal(0, 1);
        vm.warp(REVEAL_BY - 1);
        _reveal(0, 1);
        vm.expectRevert(abi.encodeWithSelector(Stake.NothingToReveal.selector, _round, _evaluator(0)));
        _reveal(0, 1);
        vm.expectRevert(abi.encodeWithSelector(Stake.NothingToReveal.selector, _round, stranger));
        vm.prank(stranger);
        stakes.reveal(_round, 1, "salt");
        vm.warp(REVEAL_BY);
        vm.expectRevert(abi.encodeWithSelector(Stake.TooLate.selector, _round, REVEAL_BY, REVEAL_BY));
        _reveal(1, 1);
        stakes.closeRound(_round, 1);
        vm.assertEq(stakes.resultOf(_round).weight, 100);
    }

    function test_what_left_the_stake_before_the_reveal_has_no_voice() public {
        _commit(0, 1);
        _commit(2, 9);
        vm.prank(_evaluator(2));
        stakes.unstake(EVALUATOR, 200);
        vm.prank(_evaluator(0));
        stakes.stake(EVALUATOR, 1000);
        vm.warp(COMMIT_BY);
        _reveal(0, 1);
        _reveal(2, 9);
        vm.assertEq(stakes.voiceOf(_round, _evaluator(0)).weight, 100);
        vm.assertEq(stakes.voiceOf(_round, _evaluator(2)).weight, 50);
        vm.warp(REVEAL_BY);
        stakes.closeRound(_round, 1);
    }

    function test_a_round_without_a_voice_has_no_result() public {
        vm.warp(REVEAL_BY);
        vm.expectRevert(abi.encodeWithSelector(Stake.NoScores.selector, _round));
        stakes.closeRound(_round, 0);
        vm.expectRevert(abi.encodeWithSelector(Stake.TooEarly.selector, _round, REVEAL_BY, REVEAL_BY));
        stakes.resultOf(_round);
    }

    function test_a_round_is_not_closed_while_scores_are_revealed() public {
        _commit(0, 1);
        vm.warp(COMMIT_BY);
        _reveal(0, 1);
        vm.warp(REVEAL_BY - 1);
        vm.expectRevert(abi.encodeWithSelector(Stake.TooEarly.selector, _round, REVEAL_BY, REVEAL_BY - 1));
        stakes.closeRound(_round, 1);
    }

    function test_a_round_that_was_never_opened_is_refused() public {
        bytes memory reason = abi.encodeWithSelector(Stake.RoundUnknown.selector, bytes32("none"));
        vm.expectRevert(reason);
        stakes.commit("none", "commitment", 0);
        vm.expectRevert(reason);
        stakes.reveal("none", 1, "salt");
        vm.expectRevert(reason);
        stakes.closeRound("none", 1);
        vm.expectRevert(reason);
        stakes.resultOf("none");
    }

    /// @dev Take all seats with accounts of stake 60, 61, ...
    function _crowd() private {
        for (uint256 i = 0; i < 64; ++i) {
            address one = address(uint160(0xC0000 + i));
            token.drip(one, 1000);
            vm.prank(one);
            token.approve(address(stakes), 1000);
            vm.prank(one);
            stakes.stake(EVALUATOR, uint96(60 + i));
            bytes32 commitment = stakes.commitmentOf(_round, one, uint96(i), "salt");
            vm.prank(one);
            stakes.commit(_round, commitment, 0);
        }
    }

    function test_a_crowd_of_small_stakes_keeps_no_larger_one_out() public {
        _crowd();
        address displaced = address(uint160(0xC0000 + 9));
        bytes32 commitment = stakes.commitmentOf(_round, _evaluator(0), 7, "salt");
        uint8[2] memory none = [0, 65];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Stake.SeatsFull.selector, _round, none[i], 0, 100));
            vm.prank(_evaluator(0));
            stakes.commit(_round, commitment, none[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(Stake.SeatsFull.selector, _round, 41, 100, 100));
        vm.prank(_evaluator(0));
        stakes.commit(_round, commitment, 41);
        vm.expectEmit(address(stakes));
        emit Stake.Committed(_round, _evaluator(0), 10, 100, commitment, displaced);
        vm.prank(_evaluator(0));
        stakes.commit(_round, commitment, 10);
        vm.assertEq(stakes.seatOf(_round, 10), _evaluator(0));
        vm.assertEq(stakes.roundOf(_round).seats, 64);
        vm.warp(COMMIT_BY);
        _reveal(0, 7);
        vm.expectRevert(abi.encodeWithSelector(Stake.NothingToReveal.selector, _round, displaced));
        vm.prank(displaced);
        stakes.reveal(_round, 9, "salt");
    }

    function test_a_full_round_is_closed_in_one_pass() public {
        _crowd();
        vm.warp(COMMIT_BY);
        uint256 total;
        for (uint256 i = 0; i < 64; ++i) {
            vm.prank(address(uint160(0xC0000 + i)));
            stakes.reveal(_round, uint96(i), "salt");
            total += 60 + i;
        }
        vm.warp(REVEAL_BY);
        uint256 upTo;
        uint96 median;
        for (uint256 i = 0; 2 * upTo < total; ++i) {
            upTo += 60 + i;
            median = uint96(i);
        }
        stakes.closeRound(_round, median);
        vm.assertEq(stakes.resultOf(_round).weight, total);
    }
}
