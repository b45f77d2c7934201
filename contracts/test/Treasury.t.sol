// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {PayToken} from "../src/PayToken.sol";
import {Rewards} from "../src/Rewards.sol";
import {Treasury} from "../src/Treasury.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {DaoFixture} from "./DaoFixture.sol";

contract TreasuryTest is DaoFixture {
    function _fresh() private returns (Treasury) {
        return new Treasury(operator, IPayToken(address(token)));
    }

    function test_the_pool_of_a_turn_is_funded_once() public {
        vm.expectEmit(address(treasury));
        emit Treasury.PoolFunded(1, 50e6);
        _fund(1, 50e6);
        vm.assertEq(treasury.poolOf(1), 50e6);
        vm.assertEq(treasury.balance(), 999_950e6);
        vm.assertEq(rewards.totalFunded(), 50e6);
        vm.assertEq(token.balanceOf(address(rewards)), 50e6);
        vm.assertEq(token.allowance(address(treasury), address(rewards)), 0);
        vm.expectRevert(abi.encodeWithSelector(Treasury.PoolAlreadyFunded.selector, 1, 50e6));
        _fund(1, 50e6);
    }

    function test_an_empty_pool_is_not_funded() public {
        vm.expectRevert(Treasury.ZeroAmount.selector);
        _fund(1, 0);
    }

    function test_a_pool_beyond_the_balance_is_not_funded() public {
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientBalance.selector);
        _fund(1, 1_000_001e6);
        vm.assertEq(treasury.poolOf(1), 0);
    }

    function test_no_pool_is_funded_before_the_rewards_are_set() public {
        Treasury fresh = _fresh();
        vm.expectRevert(Treasury.RewardsNotSet.selector);
        vm.prank(operator);
        fresh.fundPool(1, 1);
    }

    function test_the_rewards_are_set_once() public {
        vm.expectRevert(abi.encodeWithSelector(Treasury.RewardsAlreadySet.selector, address(rewards)));
        vm.prank(operator);
        treasury.setRewards(rewards);
    }

    function test_the_rewards_name_this_treasury_and_its_token() public {
        Treasury fresh = _fresh();
        vm.expectRevert(
            abi.encodeWithSelector(
                Treasury.RewardsMismatch.selector, address(rewards), address(treasury), address(token)
            )
        );
        vm.prank(operator);
        fresh.setRewards(rewards);

        PayToken money = new PayToken(address(this));
        Rewards other = new Rewards(operator, IPayToken(address(money)), address(fresh), WINDOW, 0);
        vm.expectRevert(
            abi.encodeWithSelector(Treasury.RewardsMismatch.selector, address(other), address(fresh), address(money))
        );
        vm.prank(operator);
        fresh.setRewards(other);
    }

    function test_the_owner_pays_with_a_reason() public {
        vm.expectEmit(address(treasury));
        emit Treasury.Paid(bob, 4e6, "audit");
        vm.prank(operator);
        treasury.pay(bob, 4e6, "audit");
        vm.assertEq(token.balanceOf(bob), 1_000_004e6);
        vm.expectRevert(Treasury.ZeroAmount.selector);
        vm.prank(operator);
        treasury.pay(bob, 0, "audit");
    }

    function test_only_the_owner_moves_money() public {
        Treasury fresh = _fresh();
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger);
        vm.expectRevert(refusal);
        vm.prank(stranger);
        treasury.pay(stranger, 1, 0);
        vm.expectRevert(refusal);
        vm.prank(stranger);
        treasury.fundPool(1, 1);
        vm.expectRevert(refusal);
        vm.prank(stranger);
        fresh.setRewards(rewards);
    }
}
